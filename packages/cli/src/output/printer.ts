/**
 * Where a verb's result goes: stdout, as a table for people or as one JSON document for programs. Progress and errors go to
 * stderr, so that a pipe gets the result and nothing else.
 */
import { styleText } from 'node:util';
import { CanopyError, messageOf } from '@canopy/core';

export type OutputFormat = 'table' | 'json';

export interface Printer {
  readonly format: OutputFormat;
  /** `data` is the documented JSON form; `table` makes the form for people. */
  result(data: unknown, table: () => string): void;
  /** One of many results, on a line of its own: one JSON object a line, or text. */
  line(data: unknown, text: () => string): void;
  /** A line of progress; silent in JSON. */
  note(text: string): void;
  error(error: unknown): void;
}

export interface Streams {
  readonly out: { write(text: string): unknown };
  readonly err: { write(text: string): unknown; readonly isTTY?: boolean };
}

export function createPrinter(format: OutputFormat, streams: Streams): Printer {
  const paint = (color: 'red' | 'yellow' | 'dim', text: string): string =>
    streams.err.isTTY === true ? styleText(color, text) : text;
  return {
    format,
    result: (data, table) => void streams.out.write(`${format === 'json' ? JSON.stringify(data, null, 2) : table()}\n`),
    line: (data, text) => void streams.out.write(`${format === 'json' ? JSON.stringify(data) : text()}\n`),
    note: (text) => {
      if (format === 'table') streams.err.write(`${text}\n`);
    },
    error: (error) => {
      if (format === 'json') {
        const body = CanopyError.is(error) ? error.toJSON() : { code: 'UNEXPECTED', message: messageOf(error) };
        streams.err.write(`${JSON.stringify({ error: body })}\n`);
        return;
      }
      if (!CanopyError.is(error)) {
        streams.err.write(
          `${paint('red', 'unexpected error:')} ${error instanceof Error ? error.stack : String(error)}\n`,
        );
        return;
      }
      streams.err.write(`${paint('red', 'error:')} ${error.message} ${paint('dim', `(${error.code})`)}\n`);
      if (error.hint !== undefined) streams.err.write(`${paint('yellow', 'hint:')}  ${error.hint}\n`);
    },
  };
}
