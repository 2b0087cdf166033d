/** What a network and an operating system do to a holder, one fault after the other, seen by a recorder outside. */
import { systemClock } from '@canopy/core';
import { TcpProxy, type TestNatsServer, testNatsServer } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Recorder } from './recorder.ts';

const TTL = 1200;

let nats: TestNatsServer;
let stack: AsyncDisposableStack;
let recorder: Recorder;
let proxies: Map<string, TcpProxy>;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  nats = stack.use(await testNatsServer());
  recorder = stack.use(new Recorder('faults', TTL));
  proxies = new Map();
  for (const id of ['a', 'b']) {
    const proxy = stack.use(await TcpProxy.start(nats.url));
    proxies.set(id, proxy);
    await recorder.candidate(id, [proxy.url]);
  }
});
afterAll(() => stack?.disposeAsync());

/** Does it to the leader's connection until another leads, then heals it. */
async function movedBy(fault: (proxy: TcpProxy) => void | Promise<void>): Promise<void> {
  const leader = await recorder.led();
  const proxy = proxies.get(leader) as TcpProxy;
  await fault(proxy);
  await recorder.led({ besides: leader });
  await proxy.heal();
  await systemClock.sleep(TTL / 2);
}

describe('a holder that loses its network', () => {
  it.each<[string, (proxy: TcpProxy) => void | Promise<void>]>([
    ['nothing gets to the server', (proxy) => proxy.drop('up')],
    ['nothing comes back: renewals land unheard', (proxy) => proxy.drop('down')],
    ['half-open: connections stay, nothing passes', (proxy) => proxy.drop('both')],
    ['connections are cut and refused', (proxy) => proxy.refuse()],
    ['every byte comes later than a lease lasts', (proxy) => proxy.delay(TTL * 1.5)],
  ])('%s: another leads, at no time both', async (_, fault) => {
    await movedBy(fault);
    expect(recorder.violations()).toEqual([]);
  });

  it('slow, but within the lease; and cut once: somebody leads soon, at no time two', async () => {
    const leader = await recorder.led();
    const proxy = proxies.get(leader) as TcpProxy;
    proxy.delay(60);
    await systemClock.sleep(TTL);
    expect(await recorder.led()).toBe(leader);
    proxy.cut();
    await recorder.led();
    await proxy.heal();
    expect(recorder.violations()).toEqual([]);
  });
});

describe('a holder that is frozen', () => {
  it('for three ttls: another leads meanwhile, and on waking it does not say that it leads', async () => {
    for (let i = 0; i < 2; i++) {
      const leader = await recorder.led();
      const child = recorder.process(leader);
      child.signal('SIGSTOP');
      await recorder.led({ besides: leader });
      await systemClock.sleep(2 * TTL);
      child.signal('SIGCONT');
      await systemClock.sleep(TTL / 2);
    }
    expect(recorder.violations()).toEqual([]);
  });
});

describe('the whole history', () => {
  it('has a term for every fault, none beside another, under growing epochs', () => {
    expect(recorder.history().length).toBeGreaterThanOrEqual(8);
    expect(recorder.violations()).toEqual([]);
  });
});
