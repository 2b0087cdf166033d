/**
 * What a database process does besides replicating, whatever its role: proves restores on their schedule, knows what is
 * wrong with the log's bucket, and answers administration. It lives from the opening of the log to its closing.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type AdminRequest, type DatabaseEvent, type DatabaseWarning, type Env, hasCode } from '@canopy/core';
import type { Blobs } from '@canopy/nats';
import type { BucketFinding } from '../levels/bucket-check.ts';
import { settingsOf } from '../levels/settings.ts';
import type { SegmentLog } from '../log/segment-log.ts';
import { proveInChild } from '../verify/child.ts';
import type { Proof } from '../verify/scratch-restore.ts';
import { Verifier } from '../verify/verifier.ts';
import { administer, NAMED } from './admin.ts';
import type { Mode } from './mode.ts';
import type { DatabaseSpec } from './protocol.ts';

export interface UpkeepDeps {
  readonly spec: DatabaseSpec;
  readonly env: Env;
  readonly directory: string;
  mode(): Mode;
  /** It was deleted. */
  forgetDivergence(directory: string): void;
  onEvent(event: DatabaseEvent): void;
  onStatus(): void;
}

export interface UpkeepLog {
  readonly log: SegmentLog;
  /** Opens the bucket of named snapshots, made when missing. */
  snapshots(): Promise<Blobs>;
  /** When the full copy was stored that the log began with at opening. */
  readonly firstCopyAt: number | undefined;
  /** What was found at opening. */
  readonly findings: readonly BucketFinding[];
}

export class Upkeep {
  readonly #deps: UpkeepDeps;
  readonly #controller = new AbortController();
  readonly #opened: UpkeepLog;
  readonly #verifier: Verifier;
  readonly #running: Promise<void>;
  readonly #told = new Map<string, DatabaseWarning>();

  /** Begins at once. */
  constructor(deps: UpkeepDeps, opened: UpkeepLog) {
    const { spec, env, directory } = deps;
    this.#deps = deps;
    this.#opened = opened;
    for (const { code, message } of settingsOf(opened.log).note(opened.findings))
      deps.onEvent({ type: 'warning', code, message });
    const scratch = join(directory, 'verify.db');
    // What a crash left.
    for (const left of [scratch, `${scratch}.restoring`, join(directory, NAMED)])
      rmSync(left, { recursive: true, force: true });
    this.#verifier = new Verifier({
      blobs: opened.log.store,
      env,
      node: spec.node,
      intervalMs: spec.options.verifyIntervalMs,
      role: () => ROLES[deps.mode().kind],
      prove: (signal) => this.#prove(scratch, signal),
      onEvent: (event) => deps.onEvent(event),
      onChange: () => deps.onStatus(),
    });
    this.#running = this.#verifier.run(this.#controller.signal);
  }

  get lastVerifiedAt(): number | undefined {
    return this.#verifier.last?.at;
  }

  /** The primary knows the present log, others what was there at the opening. */
  get firstCopyAt(): number | undefined {
    const mode = this.#deps.mode();
    return (mode.kind === 'primary' ? mode.primary.keeper.firstCopyAt : undefined) ?? this.#opened.firstCopyAt;
  }

  get problem(): string | undefined {
    return this.#verifier.problem ?? this.#findings.find((one) => one.isProblem)?.message;
  }

  get warnings(): readonly DatabaseWarning[] {
    return [...this.#told.values(), ...this.#findings].map(({ code, message, hint }) => ({ code, message, hint }));
  }

  /** Is among the warnings from now on; the last of a code counts. */
  tell(warning: DatabaseWarning): void {
    this.#told.set(warning.code, warning);
    this.#deps.onStatus();
  }

  /** See AdminRequest and admin.ts. */
  admin(request: AdminRequest, signal: AbortSignal): Promise<unknown> {
    const { spec, env, directory } = this.#deps;
    const { log, snapshots } = this.#opened;
    const stopped = AbortSignal.any([signal, this.#controller.signal]);
    const mode = this.#deps.mode();
    const verifier = this.#verifier;
    const forgetDivergence = (kept: string): void => this.#deps.forgetDivergence(kept);
    return administer({ spec, env, directory, log, snapshots, mode, verifier, forgetDivergence }, request, stopped);
  }

  /** A primary has what a damaged log lacks: an image from its file begins a history that does not need the damaged part. */
  async #prove(scratch: string, signal: AbortSignal): Promise<Proof> {
    try {
      return await proveInChild({ spec: this.#deps.spec, scratch }, signal);
    } catch (error) {
      const mode = this.#deps.mode();
      if (mode.kind === 'primary' && hasCode(error, 'SQLITE_VERIFY_FAILED')) mode.primary.imageSoon();
      throw error;
    }
  }

  /** Ends the proof that is under way, too. */
  async end(): Promise<void> {
    this.#controller.abort(new DOMException('closed', 'AbortError'));
    await this.#running;
  }

  /** The primary looks again and again; others know what they saw at the opening. */
  get #findings(): readonly BucketFinding[] {
    const mode = this.#deps.mode();
    const fresh = mode.kind === 'primary' ? mode.primary.keeper.findings : undefined;
    return fresh ?? this.#opened.findings;
  }
}

const ROLES = { none: 'other', replica: 'standby', local: 'other', primary: 'primary' } as const;
