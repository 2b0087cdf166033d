/** Events that could not be handled: what is kept of them, and a log as the place to keep them. */
import { CanopyError, messageOf } from '@canopy/core';
import type { EventLog, Json } from '../ports/event-log.ts';
import type { SourceEvent } from '../ports/pipeline-source.ts';

export interface DeadLetter {
  readonly namespace: string;
  readonly topic: string;
  readonly event: SourceEvent;
  /** Of the last attempt. */
  readonly error: Error;
  /** How often it was tried. */
  readonly attempts: number;
  /** Unix ms of the last attempt. */
  readonly failedAt: number;
}

/** Takes an event out of the way: once it resolves the subscriber goes past it. May be called again with one letter, after a crash or a failure of its own. */
export type DeadLetterHandler = (letter: DeadLetter) => void | Promise<void>;

/** Keeps dead letters in a log, each once within the log's duplicate window, under `topic` (default `dead-letters`). */
export function deadLettersTo(log: EventLog, topic = 'dead-letters'): DeadLetterHandler {
  return async (letter) => {
    const { namespace, event, error, attempts, failedAt } = letter;
    const code = CanopyError.is(error) ? { code: error.code } : {};
    const body = {
      namespace,
      topic: letter.topic,
      event,
      error: { ...code, message: messageOf(error) },
      attempts,
      failedAt,
    };
    await log.append(body as unknown as Json, {
      topic,
      messageId: `dead:${namespace}:${letter.topic}:${event.offset}`,
    });
  };
}
