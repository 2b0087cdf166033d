/** `canopy db replicate|follow`: one file without a platform, in the foreground until ctrl-C. */
import { type DatabaseEvent, formatDuration, formatPosition, type Position } from '@canopy/core';
import { Primary, Replica, type StoreOption } from '@canopy/sqlite';
import { Interruption } from '../elect/interruption.ts';
import { EXIT } from '../exit-codes.ts';
import { formatBytes } from '../output/bytes.ts';
import type { Printer } from '../output/printer.ts';
import { progressText } from '../output/progress.ts';

export interface ReplicationOptions {
  readonly store: StoreOption;
  readonly node?: string | undefined;
  readonly snapshotInterval?: string | undefined;
  readonly retention?: string | undefined;
  readonly create?: boolean | undefined;
}

export async function replicateFile(file: string, options: ReplicationOptions, printer: Printer): Promise<number> {
  using interruption = new Interruption();
  await using primary = new Primary({ ...databaseOptions(file, options), create: options.create === true });
  const told = tell(primary, printer);
  const position = await stoppable(interruption, () => primary.start({ signal: interruption.signal }));
  if (position !== undefined)
    printer.line(
      { event: 'replicating', file, position: formatPosition(position) },
      () => `replicating ${file} from ${formatPosition(position)}`,
    );
  await ended(primary, interruption);
  // One that has stopped by itself says why, also when a signal comes at the same time.
  if (primary.failure !== undefined) throw primary.failure;
  const problem = interruption.signal.aborted ? undefined : primary.status().problem;
  await primary.stop();
  await told;
  const end = primary.status().position;
  printer.line({ event: 'stopped', position: formatPosition(end) }, () => `stopped at ${formatPosition(end)}`);
  return problem === undefined ? EXIT.ok : EXIT.failed;
}

export async function followFile(file: string, options: ReplicationOptions, printer: Printer): Promise<number> {
  using interruption = new Interruption();
  await using replica = new Replica(databaseOptions(file, options));
  const told = tell(replica, printer);
  await stoppable(interruption, () => replica.start({ signal: interruption.signal }));
  if (!interruption.signal.aborted) {
    const at = formatPosition(replica.position);
    printer.line({ event: 'following', file, position: at }, () => `following into ${file}, at ${at}`);
  }
  await ended(replica, interruption);
  await replica.stop();
  await told;
  return EXIT.ok;
}

function databaseOptions(file: string, options: ReplicationOptions) {
  const { store, node, snapshotInterval, retention } = options;
  return {
    db: file,
    store,
    ...(node === undefined ? {} : { node }),
    ...(snapshotInterval === undefined ? {} : { snapshotInterval }),
    ...(retention === undefined ? {} : { retention }),
  };
}

/** Undefined when a signal ended it: that is no failure. */
async function stoppable<T>(interruption: Interruption, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (interruption.signal.aborted) return undefined;
    throw error;
  }
}

/** Resolves at the first signal, or when the database has ended by itself. */
async function ended(database: Primary | Replica, { signal }: Interruption): Promise<void> {
  for await (const event of database.watch({ signal }))
    if (event.type === 'role_changed' && event.role === 'closed') return;
}

async function tell(database: Primary | Replica, printer: Printer): Promise<void> {
  for await (const event of database.watch()) {
    const text = textOf(event);
    if (text !== undefined) printer.note(text);
  }
}

function textOf(event: DatabaseEvent): string | undefined {
  switch (event.type) {
    case 'warning':
      return `warning: ${event.message} (${event.code})`;
    case 'snapshot_created':
      return `snapshot of ${at(event.position)} stored: ${formatBytes(event.bytes)} in ${formatDuration(event.ms)}`;
    case 'bootstrap_progress':
      return `making the copy: ${progressText(event)}`;
    case 'stalled':
      return `stalled: nothing was applied since ${at(event.position)} for ${formatDuration(event.sinceMs)}, though the log moved`;
    case 'failed':
      return `failed: ${event.error.message}`;
    default:
      return undefined;
  }
}

const at = (position: Position): string => formatPosition(position);
