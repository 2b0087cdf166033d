/**
 * Where a verb's result goes: stdout, as a table for people or as one JSON document for programs. Progress and errors go to
 * stderr, so that a pipe gets the result and nothing else. A printer never throws: what a stream refuses is the stream's
 * owner's to notice (see standard-streams.ts), and must not keep a verb from ending in order.
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
  readonly out: {
    write(text: string): unknown;
    /** What kept the output from being written, once all of it was tried; undefined when all went well. */
    failure?(): Promise<Error | undefined>;
  };
  readonly err: { write(text: string): unknown; readonly isTTY?: boolean };
}

export function createPrinter(format: OutputFormat, streams: Streams): Printer {
  const paint = (color: 'red' | 'yellow' | 'dim', text: string): string =>
    streams.err.isTTY === true ? styleText(color, text) : text;
  const say = (text: string): void => {
    try {
      streams.err.write(text);
    } catch {}
  };
  const put = (text: string): void => {
    try {
      streams.out.write(`${text}\n`);
    } catch {}
  };
  return {
    format,
    result: (data, table) => put(format === 'json' ? JSON.stringify(data, null, 2) : table()),
    line: (data, text) => put(format === 'json' ? JSON.stringify(data) : text()),
    note: (text) => {
      if (format === 'table') say(`${text}\n`);
    },
    error: (error) => {
      if (format === 'json') {
        const body = CanopyError.is(error) ? error.toJSON() : { code: 'UNEXPECTED', message: messageOf(error) };
        say(`${JSON.stringify({ error: body })}\n`);
        return;
      }
      if (!CanopyError.is(error)) {
        say(`${paint('red', 'unexpected error:')} ${error instanceof Error ? error.stack : String(error)}\n`);
        return;
      }
      say(`${paint('red', 'error:')} ${error.message} ${paint('dim', `(${error.code})`)}\n`);
      if (error.hint !== undefined) say(`${paint('yellow', 'hint:')}  ${error.hint}\n`);
    },
  };
}
