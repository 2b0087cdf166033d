import { expect, test } from 'vitest';
import { Catalogue } from '../../src/levels/catalogue.ts';
import type { LogEntry } from '../../src/log/names.ts';
import { fill, memoryLog } from '../log/logs.ts';

const HOUR = 3_600_000;

test('what a keeper has put itself does not take the place of what the watch has told of it', async () => {
  const { log } = await memoryLog();
  await fill(log, 1, 1);
  const [told] = (await log.all()) as [LogEntry];
  const mine = { ...told, storedAt: told.storedAt - HOUR };
  const catalogue = new Catalogue();
  catalogue.add(told);
  catalogue.addOwn(mine);
  expect(catalogue.entries).toEqual([told]);
  catalogue.addOwn({ ...mine, revision: told.revision + 1 });
  expect(catalogue.entries[0]?.storedAt).toBe(mine.storedAt);
});
