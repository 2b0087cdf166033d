/** Three real servers: they form a cluster, outlive the loss of one, and end together. */
import { identifyProcess, isRunning, type ProcessId } from '@canopy/core';
import { testNatsCluster } from '@canopy/testkit';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { expect, it } from 'vitest';

it('forms, goes on without one node, takes it back, and ends', async () => {
  const test = await testNatsCluster();
  const { cluster, nodes } = test;
  const ids = nodes.map((node) => identifyProcess(node.pid) as ProcessId);
  try {
    expect(nodes).toHaveLength(3);
    expect(new Set(cluster.connection.servers).size).toBe(3);
    const write = async (text: string): Promise<number> => {
      const servers = nodes.filter((node) => node.state === 'running').map((node) => node.url);
      const nats = await connect({ servers, reconnect: false });
      try {
        return (await jetstream(nats).publish('kept', text, { timeout: 5_000 })).seq;
      } finally {
        await nats.close();
      }
    };
    const nats = await connect({ servers: cluster.connection.servers as string[], reconnect: false });
    const manager = await jetstreamManager(nats);
    const stream = await manager.streams.add({ name: 'KEPT', subjects: ['kept'], num_replicas: 3 });
    const leader = nodes.find((node) => node.name === stream.cluster?.leader);
    await nats.close();
    expect(await write('one')).toBe(1);

    const victim = leader ?? nodes[0];
    await victim?.kill();
    await cluster.ready();
    await expect.poll(() => write('two'), { timeout: 15_000 }).toBeGreaterThanOrEqual(2);

    await victim?.restart();
    await cluster.ready();
    expect(nodes.every((node) => node.state === 'running')).toBe(true);
    const last = await connect({ servers: victim?.url as string, reconnect: false });
    try {
      const names = await (await jetstreamManager(last)).streams.names().next();
      expect(names).toEqual(['KEPT']);
    } finally {
      await last.close();
    }
  } finally {
    await test[Symbol.asyncDispose]();
  }
  expect(ids.some(isRunning)).toBe(false);
  expect(nodes.every((node) => node.state === 'stopped')).toBe(true);
});

it('runs nothing after a launch that failed', async () => {
  await expect(testNatsCluster({ timeoutMs: 1 })).rejects.toMatchObject({
    code: expect.stringMatching(/NATS_SERVER_NOT_READY|NATS_CLUSTER_NOT_READY/),
  });
});
