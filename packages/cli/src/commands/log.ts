/** `canopy db restore|verify|ltx`: a log looked at and restored from, without a platform. */
import { formatDuration, formatPosition, formatTxid } from '@canopy/core';
import { type LogEntry, openLog, restore, type StoreOption, verify } from '@canopy/sqlite';
import { cliErrors } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { formatBytes } from '../output/bytes.ts';
import type { Printer } from '../output/printer.ts';
import { progressLines } from '../output/progress.ts';
import { renderTable } from '../output/table.ts';
import { restoreTarget } from './restore-target.ts';
import { type Bound, undisturbed } from './undisturbed.ts';

export interface RestoreVerbOptions {
  readonly store: StoreOption;
  readonly to: string;
  readonly txid?: string | undefined;
  readonly time?: string | undefined;
  readonly overwrite?: boolean | undefined;
  readonly check: 'none' | 'quick' | 'full';
  readonly bound: Bound;
}

export async function restoreLog(options: RestoreVerbOptions, printer: Printer): Promise<number> {
  if (options.to === '')
    throw cliErrors.create('USAGE', { command: 'npx canopy db restore', problem: '--to names no file' });
  const target = restoreTarget(options, 'db restore');
  const { store, to, overwrite = false, check, bound } = options;
  const onProgress = progressLines(printer);
  const restored = await undisturbed({ what: 'the restore', bound }, (signal) =>
    restore({ store, dest: to, target, overwrite, check, signal, onProgress }),
  );
  const { position, files, bytes, ms, commit, pageSize } = restored;
  const facts = { file: to, position: formatPosition(position), timestamp: restored.entry.timestamp, files, bytes, ms };
  printer.result({ ...facts, sizeBytes: commit * pageSize, check }, () =>
    [
      `restored ${to}: ${formatBytes(commit * pageSize)} as of ${new Date(restored.entry.timestamp).toISOString()}, transaction ${formatTxid(position.txid)}`,
      `${files} object(s), ${formatBytes(bytes)}, in ${formatDuration(ms)}; check: ${check === 'none' ? 'none' : `${check}, ok`}`,
    ].join('\n'),
  );
  return EXIT.ok;
}

export async function verifyLog(
  options: {
    readonly store: StoreOption;
    readonly scratch?: string | undefined;
    readonly node?: string | undefined;
    readonly bound: Bound;
  },
  printer: Printer,
): Promise<number> {
  const { store, scratch, node, bound } = options;
  printer.note('restoring the end of the log into a scratch file, to check it in full');
  const { position, ...proof } = await undisturbed({ what: 'the proof', bound }, (signal) =>
    verify({ store, scratch, node, signal }),
  );
  printer.result({ position: formatPosition(position), ...proof }, () =>
    [
      `the log can be restored up to its end, transaction ${formatTxid(position.txid)}: ${formatBytes(proof.bytes)}, sound`,
      `restored and checked (${proof.method}) in ${formatDuration(proof.ms)}; the log says so from now on`,
    ].join('\n'),
  );
  return EXIT.ok;
}

export async function listLog(
  options: { readonly store: StoreOption; readonly level?: string | undefined; readonly bound: Bound },
  printer: Printer,
): Promise<number> {
  const { store, level, bound } = options;
  const all = await undisturbed({ what: 'the listing', bound }, async (signal) => {
    const { log, close } = await openLog(store, { signal });
    try {
      return await log.all({ signal });
    } finally {
      await close();
    }
  });
  const entries = level === undefined ? all : all.filter((entry) => entry.level === Number(level));
  printer.result(entries.map(entryJson), () =>
    entries.length === 0
      ? `the log is empty${all.length === 0 ? '' : ` at level ${level}`}`
      : renderTable(['LEVEL', 'FROM', 'TO', 'KIND', 'SIZE', 'EPOCH', 'NODE', 'WRITTEN'], entries.map(entryRow)),
  );
  return EXIT.ok;
}

function entryJson(entry: LogEntry): object {
  const { name, level, minTxid, maxTxid, kind, size, epoch, node, timestamp } = entry;
  return { name, level, minTxid, maxTxid, kind, size, epoch, node: node ?? null, timestamp };
}

function entryRow({ level, minTxid, maxTxid, kind, size, epoch, node, timestamp }: LogEntry) {
  const ours = Number(epoch) > 0;
  return [
    level,
    minTxid,
    maxTxid,
    kind,
    formatBytes(size),
    ours ? Number(epoch) : undefined,
    node,
    new Date(timestamp).toISOString(),
  ];
}
