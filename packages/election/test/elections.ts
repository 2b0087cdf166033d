/** Elections on one memory server under one virtual clock, whose network can be cut, or lose the answers to writes. */
import { noTracer } from '@canopy/core';
import { memoryLogger, memoryMetrics, seededRandom, VirtualClock } from '@canopy/core/testing';
import { MemoryNats, type MemorySession } from '@canopy/nats/memory';
import { decodeLease, Election, type ElectionOptions } from '../src/index.ts';

export const TTL = 3000;

export function world() {
  const clock = new VirtualClock();
  const hub = new MemoryNats({ clock, random: seededRandom('hub') });
  const { log, lines } = memoryLogger();
  const { metrics, value } = memoryMetrics();
  const sessions = new Map<string, MemorySession>();
  const network = { down: false, deaf: false, writes: 0 };
  hub.fault = ({ operation }) => {
    const writes = ['create', 'update', 'delete'].includes(operation);
    if (writes) network.writes += 1;
    if (network.down && operation !== 'deliver') return { outcome: 'fail' };
    return network.deaf && writes ? { outcome: 'answer-lost' } : undefined;
  };
  const make = (instanceId: string, options: Partial<ElectionOptions> = {}): Election => {
    const env = { clock, random: seededRandom(instanceId), log, metrics, tracer: noTracer };
    const session = hub.session({ name: instanceId, env });
    sessions.set(instanceId, session);
    return new Election({ session, bucket: 'elections', group: 'g', instanceId, ttl: TTL, ...options }, env);
  };
  const start = async (election: Election): Promise<Election> => {
    await Promise.all([election.start(), clock.advance(100)]);
    return election;
  };
  /** The bucket as a bystander sees it. */
  const look = () => hub.session({ name: 'bystander' }).kv('elections');
  const lease = async () => {
    const entry = await (await look()).get('g');
    return entry === undefined ? undefined : decodeLease(entry.value);
  };
  const labels = (instanceId: string) => ({ role: 'g', instance_id: instanceId, bucket: 'elections' });
  const metric = (name: string, instanceId: string, more = {}) => value(name, { ...labels(instanceId), ...more });
  return { clock, hub, network, sessions, lines, metric, make, start, look, lease };
}
