/**
 * What a backend writes to stdout and stderr, as lines: handed to a sink, the last ones kept for error messages.
 * Bounded: a line is cut into pieces of 16 KiB; when a sink can't follow, reading pauses, the pipe fills, and the backend
 * waits in its own write, as it would for any slow reader.
 */
import type { Readable } from 'node:stream';

export interface OutputLine {
  readonly stream: 'stdout' | 'stderr';
  readonly text: string;
}

export interface OutputSink {
  /** Takes the line. False: no more until `onDrain` calls back. */
  write(line: OutputLine): boolean;
  onDrain(resume: () => void): void;
  /** Everything taken is where it belongs. */
  close(): Promise<void>;
}

const LINE_CHARS_MAX = 16 * 1024;
const TAIL_LINES = 20;
const TAIL_CHARS = 500;

/** The last lines of a backend, over all its restarts. */
export class OutputTail {
  readonly #lines: OutputLine[] = [];

  add(line: OutputLine): void {
    this.#lines.push(line.text.length > TAIL_CHARS ? { ...line, text: `${line.text.slice(0, TAIL_CHARS)}…` } : line);
    if (this.#lines.length > TAIL_LINES) this.#lines.shift();
  }

  /** Newest last; at most 20. */
  lines(): readonly OutputLine[] {
    return [...this.#lines];
  }

  clear(): void {
    this.#lines.length = 0;
  }
}

/** Reads both streams to their ends. */
export class OutputReader {
  readonly #sources: readonly Readable[];
  readonly #take: (line: OutputLine) => boolean;
  readonly #ended: Promise<void>;

  constructor(stdout: Readable, stderr: Readable, sink: OutputSink, tail: OutputTail) {
    this.#sources = [stdout, stderr];
    this.#take = (line) => {
      tail.add(line);
      return sink.write(line);
    };
    sink.onDrain(() => {
      for (const source of this.#sources) source.resume();
    });
    this.#ended = Promise.all([this.#read(stdout, 'stdout'), this.#read(stderr, 'stderr')]).then(() => {});
  }

  /** Resolves when both streams have ended and every line was taken. */
  get ended(): Promise<void> {
    return this.#ended;
  }

  /** Stops reading whatever still holds the other ends. */
  destroy(): void {
    for (const source of this.#sources) source.destroy();
  }

  #read(source: Readable, stream: OutputLine['stream']): Promise<void> {
    return new Promise((resolve) => {
      let rest = '';
      const emit = (text: string): void => {
        if (!this.#take({ stream, text })) for (const each of this.#sources) each.pause();
      };
      source.setEncoding('utf8');
      source.on('data', (chunk: string) => {
        const lines = (rest + chunk).split('\n');
        rest = lines.pop() as string;
        for (const line of lines) for (const piece of pieces(line.replace(/\r$/, ''))) emit(piece);
        while (rest.length > LINE_CHARS_MAX) {
          emit(rest.slice(0, LINE_CHARS_MAX));
          rest = rest.slice(LINE_CHARS_MAX);
        }
      });
      source.on('error', () => {});
      source.on('close', () => {
        if (rest !== '') emit(rest);
        resolve();
      });
    });
  }
}

function pieces(line: string): string[] {
  if (line.length <= LINE_CHARS_MAX) return [line];
  const parts: string[] = [];
  for (let i = 0; i < line.length; i += LINE_CHARS_MAX) parts.push(line.slice(i, i + LINE_CHARS_MAX));
  return parts;
}
