/** What is told of a database: put together from memory, at any moment, and only what is known. */
import { CanopyError, type DatabaseRole, type DatabaseStatus, type Position } from '@canopy/core';
import { sqliteErrors } from '../errors.ts';
import { lagOf, logEndOf, type Mode, positionOf, problemOf, sizeOf } from './mode.ts';
import type { Upkeep } from './upkeep.ts';

/** What the engine remembers beside its mode: it stands in where the mode says nothing. */
export interface DatabaseFacts {
  readonly role: DatabaseRole;
  readonly mode: Mode;
  readonly path: string;
  /** NATS is reached at the moment. */
  readonly connected: boolean;
  readonly position: Position;
  readonly sizeBytes: number | undefined;
  readonly lastSnapshotAt: number | undefined;
  readonly divergences: readonly string[];
  readonly problem: string | undefined;
  readonly upkeep: Pick<Upkeep, 'firstCopyAt' | 'lastVerifiedAt' | 'problem' | 'warnings'> | undefined;
}

export function describeDatabase(facts: DatabaseFacts): DatabaseStatus {
  const { role, mode } = facts;
  // Of a file that is being looked at or made anew nothing is known.
  const known = facts.connected && role !== 'opening' && role !== 'failed';
  return {
    role,
    path: facts.path,
    position: positionOf(mode) ?? facts.position,
    logEnd: logEndOf(mode),
    lag: lagOf(mode, known),
    sizeBytes: sizeOf(mode) ?? facts.sizeBytes,
    lastSnapshotAt: (mode.kind === 'primary' ? mode.primary.lastSnapshotAt : undefined) ?? facts.lastSnapshotAt,
    firstCopyAt: facts.upkeep?.firstCopyAt,
    lastVerifiedAt: facts.upkeep?.lastVerifiedAt,
    warnings: facts.upkeep?.warnings ?? [],
    divergences: facts.divergences,
    problem: facts.problem ?? problemOf(mode) ?? facts.upkeep?.problem,
  };
}

export function codeOf(error: unknown, otherwise: string): string {
  return CanopyError.is(error) ? error.code : otherwise;
}

/** What to do about it, where that is known. */
export function hintOf(error: unknown): string | undefined {
  return CanopyError.is(error) ? error.hint : undefined;
}

/** A call that only a primary answers. */
export function wrongRole(path: string, role: DatabaseRole): Error {
  return sqliteErrors.create('SQLITE_NOT_PRIMARY', { path, role });
}

/** A promotion that has to be another node's. */
export function notReady(status: DatabaseStatus): Error {
  const { path, role, problem = 'not settled yet' } = status;
  return sqliteErrors.create('SQLITE_NOT_READY', { path, role, problem });
}
