/** How a write to a master may be asked for, and what it answers. */
import { resolveOptions } from '@canopy/core';

export interface WriteOptions {
  /** `local` (default): it is stored here. `log`: the event log has it too, so that it survives the loss of this disk. */
  readonly ack?: 'local' | 'log';
  /**
   * How long `ack: 'log'` waits, ms. Default 30 s. DEADLINE_EXCEEDED after it takes nothing back: the write is stored here, and goes into the
   * log as soon as that works.
   */
  readonly timeoutMs?: number;
}

export interface WriteResult {
  readonly success: true;
  readonly entityId: string;
  readonly masterId: string;
  /**
   * True when the last attempt to send something failed, or nothing is sent yet. The event is kept, and sent as soon as that works. False says
   * that nothing in the way is known, not that it was sent: a connection that is gone is noticed after seconds. `ack: 'log'` says that.
   */
  readonly queued: boolean;
}

export const LOG_TIMEOUT_MS = 30_000;

/** Throws OPTIONS_INVALID. */
export function requireWriteOptions({ ack, timeoutMs }: WriteOptions): void {
  if (ack === undefined && timeoutMs === undefined) return;
  resolveOptions('write', { ack, timeoutMs }, (read) => {
    read.oneOf('ack', ['local', 'log'], { default: 'local' });
    read.integer('timeoutMs', { default: LOG_TIMEOUT_MS, min: 1 });
  });
}
