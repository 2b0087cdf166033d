/** What heartbeats must do, whatever carries them. */
import { systemClock } from '@canopy/core';
import type { Heartbeats } from '@canopy/replication';
import { eventually } from '@canopy/testkit';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';

export interface HeartbeatSystem {
  /** Another node's ears, in this namespace. */
  open(namespace: string, timeoutMs: number): Promise<Heartbeats>;
  close(): Promise<void>;
}

export function describeHeartbeatsContract(name: string, makeSystem: () => Promise<HeartbeatSystem>): void {
  describe(`Heartbeats contract: ${name}`, () => {
    let system: HeartbeatSystem;
    let namespaces = 0;
    beforeAll(async () => {
      system = await makeSystem();
    });
    afterAll(() => system?.close());
    const two = async (timeoutMs = 60_000): Promise<[Heartbeats, Heartbeats]> => {
      const namespace = `beats-${++namespaces}`;
      const opened = [await system.open(namespace, timeoutMs), await system.open(namespace, timeoutMs)] as const;
      for (const each of opened) onTestFinished(() => each.close());
      return [opened[0], opened[1]];
    };

    test('a beat is heard by every node, by its own clock', async () => {
      const [a, b] = await two();
      expect(b.getLastHeartbeat('leader')).toBeNull();
      expect(b.isAlive('leader', 60_000)).toBe(false);
      const before = systemClock.wall();
      await a.sendHeartbeat('leader');
      for (const ears of [a, b]) await eventually(() => ears.isAlive('leader', 60_000));
      expect(b.getLastHeartbeat('leader')).toBeGreaterThanOrEqual(before);
      expect(b.getLastHeartbeat('leader')).toBeLessThanOrEqual(systemClock.wall());
      expect(b.isAlive('somebody else', 60_000)).toBe(false);
      const first = b.getLastHeartbeat('leader') as number;
      await systemClock.sleep(20);
      await a.sendHeartbeat('leader');
      await eventually(() => (b.getLastHeartbeat('leader') as number) > first);
    });

    test('coming and going are told once each, and whoever listens later is told what is', async () => {
      const [a, b] = await two(700);
      const told: string[] = [];
      b.onLeaderStatus((leader, alive) => told.push(`${leader} ${alive}`));
      await a.sendHeartbeat('n1');
      await a.sendHeartbeat('n1');
      await eventually(() => told.includes('n1 true'));
      const late: string[] = [];
      b.onLeaderStatus((leader, alive) => late.push(`${leader} ${alive}`));
      await eventually(() => late.length === 1);
      await eventually(() => told.includes('n1 false'));
      expect(b.isAlive('n1', 700)).toBe(false);
      expect(b.isAlive('n1', 60_000)).toBe(true);
      const after: string[] = [];
      b.onLeaderStatus((leader, alive) => after.push(`${leader} ${alive}`));
      await eventually(() => after.length === 1);
      await a.sendHeartbeat('n1');
      await eventually(() => told.length >= 3);
      expect(told.slice(0, 3)).toEqual(['n1 true', 'n1 false', 'n1 true']);
      expect(after.slice(0, 2)).toEqual(['n1 false', 'n1 true']);
    });

    test('a listener that fails harms nobody, and one that has left is not called', async () => {
      const [a, b] = await two();
      const told: string[] = [];
      b.onLeaderStatus(() => {
        throw new Error('planned');
      });
      const leave = b.onLeaderStatus(() => told.push('left'));
      leave();
      b.onLeaderStatus((leader) => told.push(leader));
      await a.sendHeartbeat('n1');
      await eventually(() => told.length > 0);
      expect(told).toEqual(['n1']);
    });

    test('ids may be any text', async () => {
      const [a, b] = await two();
      const ids = ['node.with dots', 'ünï/côde', '_tick', '=', 'x'.repeat(60)];
      for (const id of ids) await a.sendHeartbeat(id);
      for (const id of ids) await eventually(() => b.isAlive(id, 60_000));
    });

    test('many beats at once cost few writes, and after closing nothing happens', async () => {
      const [a, b] = await two();
      await Promise.all(Array.from({ length: 1000 }, () => a.sendHeartbeat('n1')));
      await eventually(() => b.isAlive('n1', 60_000));
      let calls = 0;
      b.onLeaderStatus(() => calls++);
      await eventually(() => calls === 1);
      await b.close();
      await b.close();
      await a.sendHeartbeat('n2');
      await a.close();
      await a.sendHeartbeat('n3');
      expect(calls).toBe(1);
    });
  });
}
