/**
 * Progress of followers over the messaging of NATS, subject `canopy.replication-progress.<namespace>`: at most once, which is all that reports
 * need. Whoever may publish there can make a leader believe that followers have a write; the log is not touched by it.
 */
import type { Bus } from '@canopy/nats';
import { checkNamespace } from '../log/subjects.ts';
import { isPlainObject } from '../values/canonical.ts';
import type { FollowerProgress, ProgressChannel } from './progress-channel.ts';

export class BusProgressChannel implements ProgressChannel {
  readonly #bus: Bus;

  /** `session.bus` of `@canopy/nats`; reports end with the session. Namespaces as logs have them, else OPTIONS_INVALID. */
  constructor(bus: Bus) {
    this.#bus = bus;
  }

  report(namespace: string, progress: FollowerProgress): void {
    const subject = subjectOf(namespace);
    try {
      this.#bus.publish(subject, new TextEncoder().encode(JSON.stringify(progress)));
    } catch {
      // The session is closed or cut off: a later report says the same.
    }
  }

  subscribe(namespace: string, callback: (progress: FollowerProgress) => void): () => void {
    const subject = subjectOf(namespace);
    const ending = new AbortController();
    const listen = async (): Promise<void> => {
      for await (const { data } of this.#bus.subscribe(subject, { signal: ending.signal })) {
        const progress = parse(data);
        if (progress !== undefined) callback(progress);
      }
    };
    // It ends with the session, whatever that says.
    listen().catch(() => {});
    return () => ending.abort();
  }
}

/** Not below the subjects of the log: a report is no event. */
function subjectOf(namespace: string): string {
  return `canopy.replication-progress.${checkNamespace(namespace, 'progress channel')}`;
}

function parse(data: Uint8Array): FollowerProgress | undefined {
  try {
    const progress: unknown = JSON.parse(new TextDecoder().decode(data));
    if (!isPlainObject(progress)) return undefined;
    const { nodeId, sequence } = progress as Partial<FollowerProgress>;
    const isSequence = Number.isSafeInteger(sequence) && (sequence as number) >= 0;
    return typeof nodeId === 'string' && isSequence ? { nodeId, sequence: sequence as number } : undefined;
  } catch {
    return undefined;
  }
}
