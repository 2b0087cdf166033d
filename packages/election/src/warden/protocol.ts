/**
 * What parent and warden say to each other: one JSON object per line, requests on the warden's stdin, answers and
 * reports on its stdout. The end of stdin means that the parent is dead. Both ends are of one version (the parent spawns
 * its own file), so the form may change with the code. DESIGN.md, "Warden", lists the messages.
 */
import type { ConnectionSpec, GuardedKind } from '@canopy/core';

/** First line, once. Secrets travel here and never on the command line. */
export interface ConfigureMessage {
  readonly op: 'configure';
  readonly connection: ConnectionSpec;
  readonly node: string;
  readonly drainMs: number;
}

/** What the warden knows of a lease; `deadline` is CLOCK_MONOTONIC ms. */
export interface HeldLease {
  readonly bucket: string;
  readonly key: string;
  readonly revision: number;
  readonly deadline: number;
  /** The term's token: lets the release follow a renewal whose answer the parent did not live to hear. */
  readonly token?: string;
}

/** A program that ends what this machine's process groups can't show; exit code 0 in time means that the fence holds. */
export interface FenceCommand {
  /** Program and arguments; no shell. */
  readonly command: readonly string[];
  readonly timeoutMs: number;
}

export type WardenOperation =
  | { readonly op: 'hold'; readonly lease: string; readonly held: HeldLease }
  | { readonly op: 'clear'; readonly lease: string }
  /** The parent ends although it holds the lease: fence it then, but release nothing. */
  | { readonly op: 'keep'; readonly lease: string }
  /** What to run, beside the processes, whenever the lease is fenced. Replaces what was said before. */
  | { readonly op: 'fences'; readonly lease: string; readonly commands: readonly FenceCommand[] }
  | {
      readonly op: 'register';
      readonly lease: string;
      readonly pid: number;
      readonly startTicks: number;
      readonly kind: GuardedKind;
      readonly label: string;
    }
  | { readonly op: 'unregister'; readonly lease: string; readonly pid: number; readonly startTicks: number };

/** `n` numbers the requests of one warden process; its answer carries it back. */
export type WardenRequest = WardenOperation & { readonly n: number };

/** A `kill` process that is refused as `fenced` or `not_held` has been sent SIGKILL. */
export type RefusalReason = 'fenced' | 'not_held' | 'gone';

export type WardenReport =
  | { readonly type: 'ready' }
  | { readonly type: 'ack'; readonly n: number }
  | { readonly type: 'refused'; readonly n: number; readonly reason: RefusalReason }
  /** A deadline passed and the lease's `kill` processes were ended. */
  | {
      readonly type: 'fenced';
      readonly lease: string;
      readonly killed: readonly string[];
      /** False when one of them still would not die after 30 s. */
      readonly gone: boolean;
      /** How long after the deadline the kill was sent, and how long after that all were gone (or given up on). */
      readonly lateMs: number;
      readonly ms: number;
    }
  | { readonly type: 'link'; readonly connected: boolean; readonly detail: string };

export function encodeLine(message: ConfigureMessage | WardenRequest | WardenReport): string {
  return `${JSON.stringify(message)}\n`;
}

/** Cuts a byte stream into lines. The peer is our own program, so a line has no bound but the messages' own. */
export class LineSplitter {
  #rest = '';

  push(chunk: string): string[] {
    const lines = (this.#rest + chunk).split('\n');
    this.#rest = lines.pop() as string;
    return lines;
  }
}
