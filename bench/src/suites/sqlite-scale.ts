/** Replication where there is much of something: bytes in a database, databases on a machine, objects in a log. */
import type { Suite } from '../harness.ts';
import { measureIdleDatabases } from './sqlite-scale/idle-databases.ts';
import { measureLargeDatabase } from './sqlite-scale/large-database.ts';
import { measureManyObjects } from './sqlite-scale/many-objects.ts';

export const suite: Suite = async (report, { quick }) => {
  await measureManyObjects(report, quick ? { few: 20, many: 200 } : { few: 1000, many: 100_000 });
  const idle = quick ? { databases: 2, seconds: 1, settleMs: 200 } : { databases: 100, seconds: 30 };
  for (const process of ['own', 'shared'] as const) await measureIdleDatabases(report, { ...idle, process });
  await measureLargeDatabase(report, quick ? 0.02 : 10);
};
