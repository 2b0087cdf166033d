/** The twin under a virtual clock, with faults. */
import { systemEnv } from '@canopy/core';
import { settle, VirtualClock } from '@canopy/core/testing';
import { MemoryNats, type MemorySession } from '@canopy/nats/memory';
import { expect, test } from 'vitest';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function setup(): { clock: VirtualClock; hub: MemoryNats; session: (name: string) => MemorySession } {
  const clock = new VirtualClock();
  const hub = new MemoryNats({ clock });
  return { clock, hub, session: (name) => hub.session({ name, env: systemEnv({ clock }) }) };
}

/** What a promise has come to so far. */
function outcome(work: Promise<unknown>): { state: unknown } {
  const seen: { state: unknown } = { state: 'pending' };
  work.then(
    (value) => {
      seen.state = value;
    },
    (error) => {
      seen.state = error.code;
    },
  );
  return seen;
}

test('a late request is carried out late, a late answer at once', async () => {
  const { clock, hub, session } = setup();
  const kv = await session('a').ensureKv('b');
  const other = await session('b').kv('b');
  hub.fault = (call) => (call.session === 'a' && call.operation === 'put' ? { delayMs: 100 } : undefined);
  const late = outcome(kv.put('k', bytes('1')));
  await clock.advance(99);
  expect(await other.get('k')).toBeUndefined();
  await clock.advance(1);
  expect(late.state).toBe(1);
  hub.fault = (call) => (call.session === 'a' ? { answerDelayMs: 100 } : undefined);
  const answer = outcome(kv.update('k', bytes('2'), 1));
  await settle();
  expect((await other.get('k'))?.revision).toBe(2);
  expect(answer.state).toBe('pending');
  await clock.advance(100);
  expect(answer.state).toBe(2);
});

test('lost requests and lost answers both end at the deadline; only one was carried out', async () => {
  const { clock, hub, session } = setup();
  const kv = await session('a').ensureKv('b');
  const other = await session('b').kv('b');
  for (const [lost, stored] of [
    ['request-lost', false],
    ['answer-lost', true],
  ] as const) {
    hub.fault = (call) => (call.operation === 'create' ? { outcome: lost } : undefined);
    const result = outcome(kv.create(lost, bytes('x'), { timeoutMs: 500 }));
    await clock.advance(499);
    expect(result.state).toBe('pending');
    await clock.advance(1);
    expect(result.state).toBe('DEADLINE_EXCEEDED');
    expect((await other.get(lost)) !== undefined, lost).toBe(stored);
  }
  hub.fault = () => ({ outcome: 'fail' });
  await expect(kv.put('k', bytes('x'))).rejects.toMatchObject({ code: 'JETSTREAM_UNAVAILABLE' });
});

test('a cut session interrupts its watches, and healing tells the differences', async () => {
  const { clock, session } = setup();
  const a = session('a');
  const kv = await a.ensureKv('b', { ttlMs: 1000 });
  const other = await session('b').kv('b');
  const seen: string[] = [];
  void (async () => {
    for await (const event of kv.watch('>'))
      seen.push(event.type === 'entry' ? `${event.entry.operation} ${event.entry.key}` : event.type);
  })();
  await other.put('expires', bytes('1'));
  await settle();
  a.cut('unplugged');
  expect(a.status().connected).toBe(false);
  await clock.advance(900);
  await other.put('new', bytes('1'));
  const waiting = outcome(kv.get('new', { timeoutMs: 5000 }));
  const failing = outcome(kv.get('new', { timeoutMs: 100 }));
  await clock.advance(200);
  expect(waiting.state).toBe('pending');
  expect(failing.state).toBe('NATS_UNREACHABLE');
  a.heal();
  await clock.advance(0);
  expect(waiting.state).toMatchObject({ key: 'new' });
  expect(seen).toEqual(['synced', 'put expires', 'interrupted', 'put new', 'delete expires', 'synced']);
  expect(a.status().reconnects).toBe(1);
  await a.close();
});

test('deliveries may be late but stay in order, and a cut drops those on their way', async () => {
  const { clock, hub, session } = setup();
  const a = session('a');
  const kv = await a.ensureKv('b');
  const other = await session('b').kv('b');
  const seen: string[] = [];
  void (async () => {
    for await (const event of kv.watch('>')) seen.push(event.type === 'entry' ? event.entry.key : event.type);
  })();
  const delays = new Map([['slow', 100]]);
  hub.fault = (call) =>
    call.operation === 'deliver' && call.session === 'a' ? { delayMs: delays.get(call.key ?? '') ?? 0 } : undefined;
  await other.put('slow', bytes('1'));
  await other.put('fast', bytes('1'));
  await clock.advance(99);
  expect(seen).toEqual(['synced']);
  await clock.advance(1);
  expect(seen).toEqual(['synced', 'slow', 'fast']);
  await other.put('slow', bytes('2'));
  a.cut();
  await clock.advance(200);
  expect(seen.slice(3)).toEqual(['interrupted']);
  a.heal();
  await clock.advance(0);
  expect(seen.slice(4)).toEqual(['slow', 'synced']);
  await a.close();
});

test('entries expire on the virtual clock, counted from the last write', async () => {
  const { clock, session } = setup();
  const kv = await session('a').ensureKv('b', { ttlMs: 1000 });
  const first = await kv.create('k', bytes('1'));
  await clock.advance(900);
  const second = await kv.update('k', bytes('2'), first);
  await clock.advance(900);
  expect((await kv.get('k'))?.revision).toBe(second);
  await clock.advance(100);
  expect(await kv.get('k')).toBeUndefined();
});

test('a dropped bucket is missing', async () => {
  const { hub, session } = setup();
  const kv = await session('a').ensureKv('b');
  const blobs = await session('a').ensureBlobs('b');
  hub.dropKv('b');
  hub.dropBlobs('b');
  await expect(kv.get('k')).rejects.toMatchObject({ code: 'KV_BUCKET_MISSING' });
  await expect(blobs.read('k')).rejects.toMatchObject({ code: 'BLOB_BUCKET_MISSING' });
});

test('a cut session is reached by nobody', async () => {
  const { clock, session } = setup();
  const [a, b] = [session('a'), session('b')];
  void (async () => {
    for await (const message of b.bus.subscribe('s')) message.respond(bytes('yes'));
  })();
  const answered = outcome(a.bus.request('s', bytes('?')).then((message) => Buffer.from(message.data).toString()));
  await clock.advance(0);
  expect(answered.state).toBe('yes');
  b.cut();
  await expect(a.bus.request('s', bytes('?'))).rejects.toMatchObject({ code: 'BUS_NO_RESPONDERS' });
});
