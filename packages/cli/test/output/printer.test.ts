import { CanopyError } from '@canopy/core';
import { describe, expect, it } from 'vitest';
import { EXIT, exitCodeOf } from '../../src/exit-codes.ts';
import { createPrinter, type OutputFormat } from '../../src/output/printer.ts';
import { renderFacts, renderTable } from '../../src/output/table.ts';

function capture(format: OutputFormat) {
  const text = { out: '', err: '' };
  const sink = (name: 'out' | 'err') => ({
    write: (chunk: string) => {
      text[name] += chunk;
    },
  });
  return { text, printer: createPrinter(format, { out: sink('out'), err: sink('err') }) };
}

const error = new CanopyError('KV_CONFLICT', 'somebody else wrote it', { hint: 'Read again.', fields: { key: 'k' } });

describe('printer', () => {
  it('gives people a table on stdout, notes and errors with a hint on stderr', () => {
    const { text, printer } = capture('table');
    printer.note('working');
    printer.result({ a: 1 }, () => 'A\n1');
    printer.error(error);
    expect(text.out).toBe('A\n1\n');
    expect(text.err).toBe('working\nerror: somebody else wrote it (KV_CONFLICT)\nhint:  Read again.\n');
  });
  it('gives programs one JSON document on stdout, errors as JSON on stderr, and no chatter', () => {
    const { text, printer } = capture('json');
    printer.note('working');
    printer.result({ a: 1 }, () => 'never');
    printer.error(error);
    expect(JSON.parse(text.out)).toEqual({ a: 1 });
    expect(JSON.parse(text.err)).toMatchObject({
      error: { code: 'KV_CONFLICT', hint: 'Read again.', fields: { key: 'k' } },
    });
  });
});

it('tables align and show what is unknown as a dash', () => {
  expect(
    renderTable(
      ['NODE', 'LAG'],
      [
        ['n1', 0],
        ['node-22', undefined],
      ],
    ),
  ).toBe('NODE     LAG\nn1       0\nnode-22  -');
  expect(
    renderFacts([
      ['node', 'n1'],
      ['last snapshot', undefined],
    ]),
  ).toBe('node:          n1\nlast snapshot: -');
});

it('exit codes tell usage, absence, unreachability, storage and bugs apart', () => {
  const of = (code: string) => exitCodeOf(new CanopyError(code, ''));
  expect([
    of('CONFIG_INVALID'),
    of('APP_UNKNOWN'),
    of('NATS_AUTH'),
    of('DEADLINE_EXCEEDED'),
    of('SQLITE_IN_USE'),
    of('ANYTHING'),
  ]).toEqual([EXIT.usage, EXIT.notFound, EXIT.unreachable, EXIT.timeout, EXIT.busy, EXIT.failed]);
  expect(exitCodeOf(new TypeError('x'))).toBe(EXIT.bug);
});
