import { MemoryNats } from '@canopy/nats/memory';
import { BusProgressChannel, type FollowerProgress } from '@canopy/replication';
import { expect, it, vi } from 'vitest';

it('carries reports of one namespace, and passes over what is none', async () => {
  const nats = new MemoryNats();
  const [a, b] = [nats.session(), nats.session()];
  const heard: FollowerProgress[] = [];
  const end = new BusProgressChannel(a.bus).subscribe('tenant', (progress) => heard.push(progress));
  const channel = new BusProgressChannel(b.bus);
  const send = (text: string): void =>
    b.bus.publish('canopy.replication-progress.tenant', new TextEncoder().encode(text));
  for (const text of ['', 'x', '7', '{"nodeId":"f"}', '{"nodeId":"f","sequence":-1}', '{"nodeId":7,"sequence":1}'])
    send(text);
  channel.report('another', { nodeId: 'f', sequence: 1 });
  channel.report('tenant', { nodeId: 'f', sequence: 2 });
  await vi.waitFor(() => expect(heard).toEqual([{ nodeId: 'f', sequence: 2 }]));
  end();
  channel.report('tenant', { nodeId: 'f', sequence: 3 });
  await a.close();
  await b.close();
  channel.report('tenant', { nodeId: 'f', sequence: 4 });
  expect(heard.length).toBe(1);
  expect(() => channel.subscribe('no.name', () => {})).toThrow(/namespace/);
});
