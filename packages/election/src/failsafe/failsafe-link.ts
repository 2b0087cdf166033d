/**
 * Carries failsafe's messages between the machine and the bus. Invariant: it adds nothing and repeats nothing; what is
 * lost here is lost, and costs at most the extension of a lease.
 */
import { backoffMs, type Env, type Logger, messageOf } from '@canopy/core';
import type { Bus, NatsSession } from '@canopy/nats';
import type { MachineEvent } from '../machine/state.ts';
import type { ResolvedElectionOptions } from '../options.ts';
import { answerSubject, callSubject, decodeMessage, encodeMessage, type FailsafeMessage } from './message.ts';

export interface FailsafeLinkPorts {
  readonly bus: Bus;
  readonly bucket: string;
  readonly group: string;
  readonly run: string;
  readonly env: Pick<Env, 'clock' | 'random'>;
  readonly log: Logger;
  readonly heard: (message: FailsafeMessage) => void;
}

export class FailsafeLink {
  readonly #ports: FailsafeLinkPorts;

  constructor(ports: FailsafeLinkPorts) {
    this.#ports = ports;
  }

  /** The link of an election that has failsafe; undefined for others. */
  static over(
    session: NatsSession | undefined,
    options: Pick<ResolvedElectionOptions, 'bucket' | 'group' | 'rules'>,
    env: Pick<Env, 'clock' | 'random'>,
    log: Logger,
    feed: (event: MachineEvent) => void,
  ): FailsafeLink | undefined {
    const { bucket, group, rules } = options;
    if (rules.failsafe === undefined || session === undefined) return undefined;
    const { run } = rules.failsafe;
    const heard = (message: FailsafeMessage): void => feed({ type: 'heard', message });
    return new FailsafeLink({ bus: session.bus, bucket, group, run, env, log, heard });
  }

  /** Listens until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { bucket, group, run } = this.#ports;
    await Promise.all([
      this.#listen(callSubject(bucket, group), 'call', signal),
      this.#listen(answerSubject(run), 'answer', signal),
    ]);
  }

  /** Sends, or does not: a session that is closed or cut makes no difference to the machine. */
  tell(message: FailsafeMessage): void {
    const { bus, bucket, group, log } = this.#ports;
    const subject = message.type === 'call' ? callSubject(bucket, group) : answerSubject(message.to);
    try {
      bus.publish(subject, encodeMessage(message));
    } catch (error) {
      log.debug('failsafe_message_failed', { error: messageOf(error) });
    }
  }

  async #listen(subject: string, type: FailsafeMessage['type'], signal: AbortSignal): Promise<void> {
    const { bus, env, log, heard } = this.#ports;
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        for await (const { data } of bus.subscribe(subject, { signal })) {
          attempt = 0;
          const message = decodeMessage(data);
          if (message?.type === type) heard(message);
        }
      } catch (error) {
        if (!signal.aborted) log.warn('failsafe_deaf', { subject, error: messageOf(error) });
      }
      const waitMs = backoffMs(attempt, { initialMs: 100, maxMs: 5000 }, env.random);
      await env.clock.sleep(waitMs, { signal }).catch(() => {});
    }
  }
}
