/**
 * A standby's side of `applied: n`: tells where its file is, once per batch and whenever a primary asks. It tells only
 * what a reader of the file sees at that moment; a message that is lost is asked for again by whoever waits.
 */
import { type Env, messageOf, type Position } from '@canopy/core';
import type { Bus } from '@canopy/nats';
import { askSubject, encodeReport, type LogIdentity, reportSubject } from './subjects.ts';

const RETRY_MS = 2000;

export interface ReporterDeps {
  readonly bus: Bus;
  readonly log: LogIdentity;
  readonly node: string;
  /** Path of its file. */
  readonly copy: string;
  readonly env: Env;
  /** What the file contains. */
  position(): Position;
}

export class AppliedReporter {
  readonly #deps: ReporterDeps;

  constructor(deps: ReporterDeps) {
    this.#deps = deps;
  }

  /** Answers questions until the signal aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { bus, log, env } = this.#deps;
    while (!signal.aborted) {
      try {
        for await (const _ of bus.subscribe(askSubject(log.bucket), { signal })) this.tell();
      } catch (error) {
        env.log.warn('applied_not_asked', { reason: messageOf(error) });
      }
      await env.clock.sleep(RETRY_MS, { signal }).catch(() => {});
    }
  }

  /** To be called after each batch. What can't be sent is not an error: it is asked for again. */
  tell(): void {
    const { bus, log, node, copy, env } = this.#deps;
    try {
      const { bucket, createdAt } = log;
      const position = this.#deps.position();
      bus.publish(reportSubject(bucket), encodeReport({ node, copy, bucket, createdAt, position }));
    } catch (error) {
      env.log.debug('applied_not_told', { reason: messageOf(error) });
    }
  }
}
