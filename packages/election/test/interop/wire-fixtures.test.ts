/** What Go programs write under a group's key, as the reader sees it and as a candidate acts on it. Runs everywhere. */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeLease, encodeLease } from '../../src/index.ts';
import { sightingOf } from '../../src/lease/sighting.ts';
import { TTL, World } from '../world.ts';

interface Fixture {
  readonly name: string;
  readonly operation: 'put' | 'delete';
  readonly value: string;
  readonly reads: { readonly content: string; readonly id?: string; readonly priority?: number };
  readonly leaderId?: string;
  /** A candidate lets a ttl pass before it takes over. */
  readonly waits: boolean;
}

const { fixtures } = JSON.parse(readFileSync(new URL('../fixtures/go-wire.json', import.meta.url), 'utf8')) as {
  readonly fixtures: readonly Fixture[];
};
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe.each(fixtures)('$name', ({ operation, value, reads, leaderId, waits }) => {
  it('is read as what it is', () => {
    const { content, lease } = sightingOf({ revision: 4, operation, value: bytes(value), writtenAt: 0 });
    expect({ content, ...(lease === undefined ? {} : { id: lease.id, priority: lease.priority }) }).toEqual(reads);
  });

  it(waits ? 'is waited out, then overwritten at its revision' : 'is vacant', async () => {
    const world = new World();
    const kv = await world.session('go').ensureKv('elections', { ttlMs: 0 });
    const revision = await kv.put('g', bytes(operation === 'delete' ? '{"id":"go-0","token":"t"}' : value));
    if (operation === 'delete') await kv.delete('g', revision);
    const election = await world.start(world.make('ts'));
    if (waits) {
      expect([election.isLeader, election.leaderId]).toEqual([false, leaderId]);
      await world.clock.advance(TTL - 300);
      expect(election.isLeader).toBe(false);
      await world.clock.advance(600);
    }
    expect(election.isLeader).toBe(true);
    expect(election.epoch).toBeGreaterThan(revision);
    await world.stop(election);
  });

  it('ends our term at once when it comes over our lease', async () => {
    const world = new World();
    const election = await world.start(world.make('ts'));
    expect(election.isLeader).toBe(true);
    const { epoch } = election;
    const kv = await world.kv();
    if (operation === 'delete') await kv.delete('g', (await kv.get('g'))?.revision as number);
    else await kv.put('g', bytes(value));
    await world.clock.advance(5);
    expect(election.epoch).not.toBe(epoch);
    await world.clock.advance(TTL + 500);
    expect(election.isLeader).toBe(true);
    expect(election.epoch).toBeGreaterThan(epoch as number);
    await world.stop(election);
  });
});

describe('what we write', () => {
  it('is to such a reader a lease with id and token, whatever else we add', () => {
    const written = JSON.parse(
      new TextDecoder().decode(encodeLease({ id: 'ts', token: 't', priority: 3, epoch: 9, ttlMs: 3000 })),
    ) as Record<string, unknown>;
    expect(written).toMatchObject({ id: 'ts', token: 't', priority: 3 });
    expect(decodeLease(bytes(JSON.stringify(written)))).toMatchObject({ id: 'ts', token: 't' });
  });
});
