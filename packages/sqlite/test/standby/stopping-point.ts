/**
 * Stops this process for good in the middle of an apply, at one call to the file system: before it, half-way through it or
 * after it. Whoever started the process reads on its standard output that it stands there, looks, and kills it. What is
 * stopped is the code as it is: the calls are counted behind the module that it imports them from.
 */
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { basename } from 'node:path';

/** `apply` counts from 1; `call` is like "write replica.db", `nth` its how-manieth within that apply. */
export interface StoppingPoint {
  readonly apply: number;
  readonly call: string;
  readonly nth: number;
  readonly when: 'before' | 'half' | 'after';
}

/** Counts from now on; `nextApply` is to be called before each apply. `facts` are told with the stop. */
export function stopAt(point: StoppingPoint, facts: () => string): { nextApply(): void } {
  const real = { ...fs };
  const names = new Map<number, string>();
  let apply = 0;
  let seen = 0;
  const stand = (): never => {
    real.writeSync(1, `STANDING ${facts()}\n`);
    for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  };
  const isIt = (call: string): boolean => apply === point.apply && call === point.call && ++seen === point.nth;
  const around = <T>(call: string, run: () => T, half: () => void = () => {}): T => {
    if (!isIt(call)) return run();
    if (point.when === 'half') half();
    if (point.when !== 'after') return stand();
    run();
    return stand();
  };
  const nameOf = (fd: number): string => names.get(fd) ?? 'other';
  Object.assign(fs, {
    openSync: (path: string, ...rest: [string, number]) => {
      const fd = around(`open ${basename(path)}`, () => real.openSync(path, ...rest));
      names.set(fd, basename(path));
      return fd;
    },
    closeSync: (fd: number) => around(`close ${nameOf(fd)}`, () => real.closeSync(fd)),
    unlinkSync: (path: string) => around(`unlink ${basename(path)}`, () => real.unlinkSync(path)),
    renameSync: (from: string, to: string) => around(`rename ${basename(to)}`, () => real.renameSync(from, to)),
    ftruncateSync: (fd: number, size: number) => around(`truncate ${nameOf(fd)}`, () => real.ftruncateSync(fd, size)),
    writeSync: (fd: number, data: Uint8Array | string, ...rest: [number, number, number]) => {
      const [offset = 0, length = data.length, position] = rest;
      // Page 1 is what makes a new file of it.
      const what = nameOf(fd) === 'replica.db' && position === 0 ? 'page 1' : nameOf(fd);
      const half = (): void =>
        void real.writeSync(fd, data as Uint8Array, offset, Math.floor(length / 2), position ?? null);
      return around(`write ${what}`, () => real.writeSync(fd, data as Uint8Array, ...rest), half);
    },
  });
  syncBuiltinESMExports();
  return {
    nextApply: () => {
      apply++;
      seen = 0;
    },
  };
}
