/**
 * Who leads which namespace inside this process: what fences managers on plain pipelines from each other, and nothing more. It
 * says nothing about other processes. Epochs outlive the holder, so each one that leads has a greater one.
 */
import { elapsedMs, type Moment } from './moment.ts';

export interface NamespaceLock {
  /** Undefined once it was given back. */
  readonly holder: string | undefined;
  readonly epoch: number;
  readonly fencingToken: number;
  /** Monotonic ms of taking it, or of the holder's last write. */
  readonly heldSince: number;
  /** The same moment, Unix ms. */
  readonly heldSinceWall: number;
}

function heldMs({ heldSince, heldSinceWall }: NamespaceLock, now: Moment): number {
  return elapsedMs({ monotonic: heldSince, wall: heldSinceWall }, now);
}

function since({ monotonic, wall }: Moment): Pick<NamespaceLock, 'heldSince' | 'heldSinceWall'> {
  return { heldSince: monotonic, heldSinceWall: wall };
}

const locks = new Map<string, NamespaceLock>();

export const namespaceLocks = {
  get: (namespace: string): NamespaceLock | undefined => locks.get(namespace),
  clear: (): void => locks.clear(),

  /** Undefined when another node holds it and `timeoutMs` have not passed. */
  take(
    namespace: string,
    node: string,
    now: Moment,
    options: { timeoutMs: number; floor: number; force?: boolean; keep?: boolean },
  ): NamespaceLock | undefined {
    const known = locks.get(namespace);
    const held = known?.holder !== undefined && heldMs(known, now) <= options.timeoutMs;
    if (held && known.holder !== node && !options.force) return undefined;
    const mine = held && known.holder === node && options.keep === true;
    const epoch = mine ? known.epoch : Math.max(known?.epoch ?? 0, options.floor) + 1;
    const lock = { holder: node, epoch, fencingToken: epoch, ...since(now) };
    locks.set(namespace, lock);
    return lock;
  },

  /** The holder still works. */
  refresh(namespace: string, node: string, now: Moment): void {
    const known = locks.get(namespace);
    if (known?.holder === node) locks.set(namespace, { ...known, ...since(now) });
  },

  release(namespace: string, node: string): void {
    const known = locks.get(namespace);
    if (known?.holder === node) locks.set(namespace, { ...known, holder: undefined });
  },
};
