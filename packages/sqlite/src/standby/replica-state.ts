/**
 * What the state file says of a replica: where the file is, told by its change counter. Invariant: written before the file
 * changes, so that the file is at one of the two positions that it names whenever a crash comes.
 */
import type { Position } from '@canopy/core';
import { type KnownLog, type StandbyState, writeState } from '../process/state-file.ts';
import type { FileHeader } from './page-one.ts';

export interface ReplicaMove {
  readonly from: Position;
  readonly to: Position;
  /** Change counters at the two. */
  readonly before: number;
  readonly after: number;
}

/** No move: the file is at `position` and stays there. */
export function stayingAt(position: Position, counter: number): ReplicaMove {
  return { from: position, to: position, before: counter, after: counter };
}

/**
 * With `durable` the state is trusted after the machine's death too: the file must have been flushed, or be about to be.
 * With `flush` it is on the disk itself when this returns.
 */
export function writeReplicaState(
  path: string,
  { from, to, before, after }: ReplicaMove,
  how: {
    readonly boot: string;
    readonly durable: boolean;
    readonly flush: boolean;
    readonly log?: KnownLog | undefined;
  },
): void {
  const { boot, durable, flush, log } = how;
  const counters = { counterBefore: before, counterAfter: after };
  writeState(path, { role: 'standby', from, to, ...counters, durable, boot, ...(log && { log }) }, { flush });
}

/** The machine went down since (or that is unknown), and what it left of the file is anybody's guess. */
export function isUnflushed(state: StandbyState, boot: string): boolean {
  return !state.durable && (state.boot === '' || state.boot !== boot);
}

/** Where the state says that a file with this counter is; undefined when it doesn't know such a file. */
export function locateReplica(state: StandbyState, header: FileHeader, boot: string): Position | undefined {
  if (header.mode !== 'rollback') return undefined;
  if (isUnflushed(state, boot)) return undefined;
  if (header.counter === state.counterAfter) return state.to;
  if (header.counter === state.counterBefore) return state.from;
  return undefined;
}
