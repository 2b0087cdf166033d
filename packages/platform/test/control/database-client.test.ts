import { CanopyError } from '@canopy/core';
import { beforeEach, describe, expect, it } from 'vitest';
import type { AppOverview, CallOptions } from '../../src/control/client.ts';
import { DatabaseClient } from '../../src/control/database-client.ts';
import { platformErrors } from '../../src/errors.ts';

type Answer = (node: string, method: string, request: Record<string, unknown>, options: CallOptions) => unknown;

let roles: Readonly<Record<string, string | undefined>>;
let answer: Answer;
let asked: [string, string][];
let client: DatabaseClient;
beforeEach(() => {
  roles = { n1: 'standby', n2: 'primary' };
  answer = () => ({});
  asked = [];
  client = new DatabaseClient({
    appStatus: async (app) =>
      ({
        app,
        instances: Object.entries(roles).map(([node, role]) => ({
          node,
          status: role === undefined ? undefined : { epoch: 1, database: role === 'none' ? undefined : { role } },
          error: role === undefined ? new CanopyError('NODE_UNREACHABLE', 'no answer') : undefined,
        })),
      }) as unknown as AppOverview,
    call: async (_app, node, method, request, options) => {
      asked.push([node, method]);
      return answer(node, method, request as Record<string, unknown>, options);
    },
  });
});

const notPrimary = (node: string, leader?: string): Error =>
  platformErrors.create('APP_DB_NOT_PRIMARY', {
    app: 'x',
    node,
    role: 'standby',
    primary: '-',
    ...(leader && { leader }),
  });

describe('what only the primary does', () => {
  it('is asked of the primary, with the time that the caller gives', async () => {
    answer = (node, _, request, options) => ({ node, request, bound: options.timeoutMs });
    const synced = await client.sync('x', { applied: 2, timeoutMs: 3000 });
    expect(synced).toEqual({ node: 'n2', request: { applied: 2, timeoutMs: 3000 }, bound: 3500 });
    await client.createSnapshot('x', { name: 's' });
    await client.deleteSnapshot('x', 's');
    expect(asked.map(([node]) => node)).toEqual(['n2', 'n2', 'n2']);
  });

  it('is asked once more of the node that the former primary names', async () => {
    answer = (node) => {
      if (node === 'n2') throw notPrimary('n2', 'n1');
      return { node };
    };
    expect(await client.sync('x')).toEqual({ node: 'n1' });
    answer = (node) => {
      throw notPrimary(node, node === 'n1' ? 'n2' : 'n1');
    };
    await expect(client.sync('x')).rejects.toMatchObject({ code: 'APP_DB_NOT_PRIMARY' });
    expect(asked).toHaveLength(4);
  });

  it('is refused where nobody is, and where there is no database', async () => {
    roles = { n1: 'standby', n2: undefined };
    await expect(client.sync('x')).rejects.toMatchObject({ code: 'APP_DB_NOT_PRIMARY', retryable: true });
    roles = { n1: 'none' };
    await expect(client.createSnapshot('x')).rejects.toMatchObject({ code: 'APP_DB_NONE' });
    expect(asked).toEqual([]);
  });
});

describe('divergences', () => {
  it('are asked of every node; one that does not answer, or cannot, is said to be unknown', async () => {
    roles = { n1: 'standby', n2: 'primary', n3: undefined, n4: 'none', n5: 'standby' };
    const kept = [{ id: '1-a', directory: '/d', sizeBytes: 5, keptAt: 1 }];
    answer = (node) => {
      if (node === 'n4') throw platformErrors.create('APP_DB_NONE', { app: 'x' });
      if (node === 'n5') throw platformErrors.create('CONTROL_METHOD_UNKNOWN', { node, method: 'divergence_list' });
      return node === 'n1' ? kept : [];
    };
    expect(await client.divergences('x')).toMatchObject([
      { node: 'n1', divergences: kept },
      { node: 'n2', divergences: [] },
      { node: 'n3', divergences: undefined, error: { code: 'NODE_UNREACHABLE' } },
      { node: 'n4', divergences: [] },
      { node: 'n5', divergences: undefined, error: { code: 'CONTROL_METHOD_UNKNOWN' } },
    ]);
  });

  it('are read piece by piece to the end', async () => {
    answer = (_node, _method, { offset }) =>
      offset === 0 ? { changes: [{ table: 'a' }, { table: 'b' }], next: 9 } : { changes: [{ table: `at ${offset}` }] };
    const tables: unknown[] = [];
    for await (const { table } of client.changes('x', 'n1', '1-a')) tables.push(table);
    expect(tables).toEqual(['a', 'b', 'at 9']);
  });
});
