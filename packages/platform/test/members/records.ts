/** Membership records for tests. */
import type { MemberRecord } from '../../src/members/record.ts';

export function recordOf(id: string, facts: Partial<MemberRecord> = {}): MemberRecord {
  return {
    id,
    incarnation: `${id}-1`,
    address: '127.0.0.1',
    labels: {},
    version: '0.1.0',
    startedAt: 1_700_000_000_000,
    process: { host: 'host', pid: 1, startTicks: 1, machine: 'other' },
    apps: {},
    load: { cpu: 0, memory: 0, disk: 0 },
    cordoned: false,
    ...facts,
  };
}
