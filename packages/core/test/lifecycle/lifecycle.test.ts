import { describe, expect, it } from 'vitest';
import { Broadcast, Lifecycle, TaskGroup } from '../../src/index.ts';
import { settle } from '../../src/testing/index.ts';

class Thing extends Lifecycle {
  readonly log: string[] = [];
  readonly #startError: Error | undefined;
  constructor(startError?: Error) {
    super('thing');
    this.#startError = startError;
  }
  protected override async onStart(): Promise<void> {
    this.log.push('start');
    await Promise.resolve();
    if (this.#startError !== undefined) throw this.#startError;
  }
  protected override async onStop(): Promise<void> {
    this.log.push('stop');
  }
  die(error: Error): void {
    this.fail(error);
  }
}

describe('Lifecycle', () => {
  it('runs once and stops once', async () => {
    const thing = new Thing();
    await thing.start();
    expect(thing.state).toBe('running');
    await expect(thing.start()).rejects.toMatchObject({ code: 'STATE_INVALID' });
    await Promise.all([thing.stop(), thing.stop()]);
    expect(thing.log).toEqual(['start', 'stop']);
    expect(thing.state).toBe('stopped');
    expect(await thing.closed).toBeUndefined();
  });
  it('undoes a failed start and passes the error on', async () => {
    const error = new Error('no');
    const thing = new Thing(error);
    await expect(thing.start()).rejects.toBe(error);
    expect(thing.log).toEqual(['start', 'stop']);
    expect(thing.state).toBe('failed');
    expect(await thing.closed).toBe(error);
  });
  it('waits for a start under way before it stops', async () => {
    const thing = new Thing();
    const starting = thing.start();
    await thing.stop();
    await starting;
    expect(thing.log).toEqual(['start', 'stop']);
    expect(thing.state).toBe('stopped');
  });
  it('does nothing when it was never started, and ends with the error that ended it', async () => {
    const idle = new Thing();
    await idle.stop();
    expect(idle.log).toEqual([]);
    const broken = new Thing();
    await broken.start();
    const error = new Error('broke');
    broken.die(error);
    expect(await broken.closed).toBe(error);
    expect(broken.state).toBe('failed');
  });
});

describe('TaskGroup', () => {
  it('cancels the rest at the first failure and reports it once', async () => {
    const failures: string[] = [];
    const group = new TaskGroup((error, task) => failures.push(`${task}: ${error.message}`));
    let cancelled = false;
    group.run('waits', async (signal) => {
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      cancelled = true;
      throw new Error('after the abort');
    });
    group.run('fails', async () => {
      throw new Error('first');
    });
    await settle();
    await group.stop();
    expect(cancelled).toBe(true);
    expect(failures).toEqual(['fails: first']);
    expect(() => group.run('late', async () => {})).toThrow(expect.objectContaining({ code: 'STATE_INVALID' }));
  });
});

describe('Broadcast', () => {
  it('gives each reader the first items and then everything sent, at its own pace', async () => {
    const broadcast = new Broadcast<number>();
    const a = broadcast.watch({ first: [0] });
    const b = broadcast.watch();
    broadcast.send(1);
    broadcast.send(2);
    broadcast.close();
    expect(await Array.fromAsync(a)).toEqual([0, 1, 2]);
    expect(await Array.fromAsync(b)).toEqual([1, 2]);
    expect(await Array.fromAsync(broadcast.watch())).toEqual([]);
  });
  it('drops the oldest for a slow reader and says how many', async () => {
    const broadcast = new Broadcast<string>({ capacity: 2, onOverflow: (lost) => `lost ${lost}` });
    const reader = broadcast.watch();
    for (const event of ['a', 'b', 'c', 'd']) broadcast.send(event);
    broadcast.close();
    expect(await Array.fromAsync(reader)).toEqual(['lost 2', 'c', 'd']);
  });
  it('ends at the signal, also for a reader that waits', async () => {
    const broadcast = new Broadcast<string>();
    const controller = new AbortController();
    const reading = Array.fromAsync(broadcast.watch({ signal: controller.signal }));
    broadcast.send('x');
    controller.abort();
    expect(await reading).toEqual(['x']);
  });
});
