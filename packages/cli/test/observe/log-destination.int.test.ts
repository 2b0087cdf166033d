/** The log on a disk that is full for a while: the logger never throws, the node lives on, and the loss is told afterwards. */
import { readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createLogger } from '@canopy/core';
import { eventually, freePort, temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { expect, it } from 'vitest';
import { EXIT } from '../../src/exit-codes.ts';
import { LogDestination } from '../../src/observe/log-destination.ts';
import { pinoLogger } from '../../src/observe/pino-logger.ts';
import { startCanopy } from '../verbs/canopy.ts';
import { fill, smallDisk } from '../verbs/small-disk.ts';

const events = (file: string): string[] =>
  readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) =>
      line.startsWith('{') && line.endsWith('}') ? (JSON.parse(line) as { event: string }).event : 'torn',
    );

it('drops and counts lines while the disk is full, and tells how many once there is space', async ({ skip }) => {
  await using disk = await smallDisk(256 * 1024, skip);
  const file = join(disk.path, 'sub', 'node.log');
  let lost = 0;
  const onLost = (): void => {
    lost += 1;
  };
  const log = pinoLogger({ level: 'info', file, base: { pid: 1 }, onLost });
  log.info('before');
  const filler = fill(disk.path);
  for (let i = 0; i < 200; i++) log.info('while_full', { text: 'x'.repeat(200) });
  expect(lost).toBeGreaterThan(150);
  rmSync(filler);
  log.info('after');
  const told = events(file);
  expect([told[0], told.at(-1)]).toEqual(['before', 'after']);
  expect(told.filter((event) => event === 'log_lines_lost')).toHaveLength(1);
  expect(told.filter((event) => event === 'torn').length).toBeLessThanOrEqual(1);
  expect(readFileSync(file, 'utf8')).toContain(`${lost} log lines were lost: ENOSPC`);
});

it('a descriptor that nobody reads, or that is closed, costs lines and nothing else', () => {
  let lost = 0;
  const destination = new LogDestination({
    to: 9_999,
    renderLoss: () => '',
    onLost: () => {
      lost += 1;
    },
  });
  const log = createLogger((_level, event) => destination.write(`${event}\n`));
  log.info('one');
  log.info('two');
  expect(lost).toBe(2);
});

it('a node whose log is on a full disk keeps running and answering, and logs again afterwards', async ({ skip }) => {
  await using disk = await smallDisk(1024 * 1024, skip);
  await using nats = await testNatsServer();
  await using data = await temporaryDirectory('full-log');
  const base = { platform: 'full', nats: { servers: [nats.url] }, log: { level: 'debug' } };
  const health = `127.0.0.1:${await freePort()}`;
  const configOf = (node: string, more: object): string => {
    const file = join(data.path, `${node}.json`);
    writeFileSync(file, JSON.stringify({ ...base, node, dataDir: join(data.path, node), ...more }));
    return file;
  };
  const logFile = join(disk.path, 'n1.log');
  const first = configOf('n1', { http: { listen: health } });
  await using node = await startCanopy(['run', '--config', first, '--log-file', logFile]);
  await node.line(/is up/);
  const filler = fill(disk.path);
  // The last page that the log has already is space as well.
  fill(disk.path, 'n1.log');
  const second = configOf('n2', {});
  const visit = async (): Promise<void> => {
    await using other = await startCanopy(['run', '--config', second]);
    await other.line(/is up/);
    other.signal('SIGTERM');
    expect((await other.exited).code).toBe(EXIT.ok);
  };
  await visit();
  const metric = /canopy_log_lines_lost_total ([1-9]\d*)/;
  await eventually(async () => metric.test(await (await fetch(`http://${health}/metrics`)).text()), {
    what: 'lost log lines are counted',
  });
  expect((await fetch(`http://${health}/health`)).status).toBe(200);
  expect(statfsSync(disk.path).bavail).toBe(0);
  rmSync(filler);
  await visit();
  await eventually(() => events(logFile).includes('log_lines_lost'), { what: 'the loss is told' });
  expect(events(logFile).at(-1)).toMatch(/^member_/);
  node.signal('SIGTERM');
  expect((await node.exited).code).toBe(EXIT.ok);
});
