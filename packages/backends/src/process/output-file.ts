/**
 * A log file of bounded size: at `maxBytes` it becomes `<file>.1`, `<file>.1` becomes `<file>.2`, and so on up to `keep`.
 * Lines wait in memory, 1 MiB at most, while the disk is slow; a disk that fails loses lines, never the backend.
 */
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Logger, makeDirectory, messageOf } from '@canopy/core';
import type { OutputLine, OutputSink } from './output.ts';

const QUEUE_BYTES_MAX = 1024 * 1024;

export interface OutputFileOptions {
  readonly file: string;
  readonly maxBytes: number;
  readonly keep: number;
}

export class OutputFile implements OutputSink {
  readonly #options: OutputFileOptions;
  readonly #log: Logger;
  #handle: FileHandle | undefined;
  #size = 0;
  #queue: string[] = [];
  #queuedBytes = 0;
  #writing: Promise<void> | undefined;
  #resume: () => void = () => {};
  #hasFailed = false;

  constructor(options: OutputFileOptions, log: Logger) {
    this.#options = options;
    this.#log = log;
  }

  write(line: OutputLine): boolean {
    const text = `${line.text}\n`;
    this.#queue.push(text);
    this.#queuedBytes += Buffer.byteLength(text);
    this.#writing ??= this.#drain().finally(() => {
      this.#writing = undefined;
    });
    return this.#queuedBytes < QUEUE_BYTES_MAX;
  }

  onDrain(resume: () => void): void {
    this.#resume = resume;
  }

  async close(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    await this.#handle?.close().catch(() => {});
    this.#handle = undefined;
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue;
      this.#queue = [];
      this.#queuedBytes = 0;
      try {
        await this.#append(batch);
        this.#hasFailed = false;
      } catch (error) {
        if (!this.#hasFailed)
          this.#log.error('backend_log_file_failed', { file: this.#options.file, error: messageOf(error) });
        this.#hasFailed = true;
      }
      this.#resume();
    }
  }

  /** Writes the lines, turning the file over where one would make it too big. */
  async #append(lines: readonly string[]): Promise<void> {
    const { maxBytes } = this.#options;
    let part: string[] = [];
    let bytes = 0;
    for (const line of lines) {
      const size = Buffer.byteLength(line);
      if (this.#handle === undefined) await this.#open();
      if (this.#size + bytes > 0 && this.#size + bytes + size > maxBytes) {
        await this.#write(part, bytes);
        await this.#turnOver();
        part = [];
        bytes = 0;
      }
      part.push(line);
      bytes += size;
    }
    await this.#write(part, bytes);
  }

  async #write(lines: readonly string[], bytes: number): Promise<void> {
    if (lines.length === 0) return;
    await this.#handle?.appendFile(lines.join(''));
    this.#size += bytes;
  }

  async #open(): Promise<void> {
    makeDirectory(dirname(this.#options.file));
    this.#handle = await open(this.#options.file, 'a');
    this.#size = (await this.#handle.stat()).size;
  }

  async #turnOver(): Promise<void> {
    const { file, keep } = this.#options;
    await this.#handle?.close();
    this.#handle = undefined;
    for (let i = keep; i > 1; i--) await rename(`${file}.${i - 1}`, `${file}.${i}`).catch(ignoreMissing);
    if (keep > 0) await rename(file, `${file}.1`);
    else await rm(file);
    await this.#open();
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
