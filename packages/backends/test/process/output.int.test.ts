import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { OutputLine } from '../../src/index.ts';
import { CALM, rig, until } from './rig.ts';

test('lines of both streams reach the log; the last one needs no newline', async () => {
  await using r = rig({ command: ['sh', '-c', 'echo one; echo two >&2; printf three; exec sleep 1000'] });
  await r.backend.start({ signal: CALM });
  await until('two lines', () => r.lines.filter((line) => line.event === 'backend_output').length === 2);
  await r.backend.stop();
  const texts = r.lines.filter((line) => line.event === 'backend_output').map((line) => line.fields);
  expect(texts).toContainEqual({ app: 'shop', stream: 'stdout', text: 'one' });
  expect(texts).toContainEqual({ app: 'shop', stream: 'stderr', text: 'two' });
  expect(texts).toContainEqual({ app: 'shop', stream: 'stdout', text: 'three' });
});

test('a flood is cut to a rate in the log, and counted', async () => {
  await using r = rig({ command: ['sh', '-c', 'seq 1 20000; exec sleep 1000'] });
  await r.backend.start({ signal: CALM });
  await until('all read', () => r.backend.logs().at(-1)?.text === '20000');
  await r.backend.stop();
  const taken = r.lines.filter((line) => line.event === 'backend_output').length;
  const dropped = r.metric('gc_backend_output_dropped_total', { app: 'shop', node: 'n1' }) ?? 0;
  expect(taken).toBeLessThan(5000);
  expect(taken + dropped).toBe(20_000);
});

test('a flood into files is complete within the bound', async () => {
  await using r = rig({
    command: ['sh', '-c', 'seq 1 200000; exec sleep 1000'],
    log: { file: 'logs/out.log', maxBytes: 300_000, keep: 2 },
  });
  await r.backend.start({ signal: CALM });
  await until('all read', () => r.backend.logs().at(-1)?.text === '200000');
  await r.backend.stop();
  const directory = join(r.stateDir, 'logs');
  expect(readdirSync(directory).sort()).toEqual(['out.log', 'out.log.1', 'out.log.2']);
  for (const file of readdirSync(directory)) expect(statSync(join(directory, file)).size).toBeLessThanOrEqual(300_000);
  const text = ['out.log.2', 'out.log.1', 'out.log']
    .map((file) => readFileSync(join(directory, file), 'utf8'))
    .join('');
  const numbers = text.trimEnd().split('\n').map(Number);
  expect(numbers.at(-1)).toBe(200_000);
  expect(numbers.every((n, i) => i === 0 || n === (numbers[i - 1] as number) + 1)).toBe(true);
});

test('a handler gets each line; one that throws does no harm', async () => {
  const got: OutputLine[] = [];
  await using r = rig({
    command: ['sh', '-c', 'echo one; echo two; exec sleep 1000'],
    log: (line) => {
      got.push(line);
      throw new Error('handler bug');
    },
  });
  await r.backend.start({ signal: CALM });
  await until('both', () => got.length === 2);
  expect(got.map((line) => line.text)).toEqual(['one', 'two']);
  expect(r.lines.filter((line) => line.event === 'backend_log_handler_failed')).toHaveLength(1);
});

test('a line without end is cut, not gathered', async () => {
  const got: number[] = [];
  await using r = rig({
    command: ['sh', '-c', 'head -c 100000 /dev/zero | tr "\\0" x; exec sleep 1000'],
    log: (line) => void got.push(line.text.length),
  });
  await r.backend.start({ signal: CALM });
  await r.backend.stop();
  expect(Math.max(...got)).toBe(16 * 1024);
  expect(got.reduce((a, b) => a + b)).toBe(100_000);
});
