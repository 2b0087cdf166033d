/** `canopy db replicate|follow`: one file without a platform, in the foreground until ctrl-C. */
import {
  CanopyError,
  coreErrors,
  type DatabaseEvent,
  formatDuration,
  formatPosition,
  hasCode,
  type Position,
  systemClock,
} from '@canopy/core';
import { endsPrimary, Primary, Replica, type SqliteOptions, type StoreOption } from '@canopy/sqlite';
import { type ControlRequest, serveControl } from '../control/socket.ts';
import { Interruption } from '../elect/interruption.ts';
import { cliErrors } from '../errors.ts';
import { EXIT } from '../exit-codes.ts';
import { formatBytes } from '../output/bytes.ts';
import type { Printer } from '../output/printer.ts';
import { progressText } from '../output/progress.ts';
import { FOLLOW, flagOf, givenOf, type LibraryOption, REPLICATE } from '../replication-options.ts';
import { type Bound, undisturbed } from './undisturbed.ts';

/** Beside these the options of the library, see replication-options.ts. */
export interface ReplicationOptions {
  readonly store: StoreOption;
  readonly node?: string | undefined;
  readonly create?: boolean | undefined;
  readonly bound: Bound;
}

/** How long a status waits for the database process. */
const STATUS_MS = 2000;

export async function replicateFile(file: string, options: ReplicationOptions, printer: Printer): Promise<number> {
  using interruption = new Interruption();
  await using primary = made('replicate', REPLICATE, options, (given) => {
    return new Primary({ ...given, db: file, create: options.create === true });
  });
  const told = tell(primary, printer);
  const position = await begun(options.bound, interruption, (signal) => primary.start({ signal }));
  await using _control = await control(file, primary, printer);
  printer.line(
    { event: 'replicating', file, position: formatPosition(position) },
    () => `replicating ${file} from ${formatPosition(position)}`,
  );
  await ended(primary, interruption);
  // One that has stopped by itself says why, also when a signal comes at the same time.
  if (primary.failure !== undefined) throw primary.failure;
  await primary.stop();
  await told;
  const { position: end, problem } = primary.status();
  printer.line({ event: 'stopped', position: formatPosition(end) }, () => `stopped at ${formatPosition(end)}`);
  if (problem !== undefined) throw cliErrors.create('REPLICATION_INCOMPLETE', { file, problem });
  return EXIT.ok;
}

export async function followFile(file: string, options: ReplicationOptions, printer: Printer): Promise<number> {
  using interruption = new Interruption();
  await using replica = made('follow', FOLLOW, options, (given) => new Replica({ ...given, db: file }));
  const told = tell(replica, printer);
  await begun(options.bound, interruption, (signal) => replica.start({ signal }));
  await using _control = await control(file, replica, printer);
  const at = formatPosition(replica.position);
  printer.line({ event: 'following', file, position: at }, () => `following into ${file}, at ${at}`);
  await ended(replica, interruption);
  if (replica.failure !== undefined) throw replica.failure;
  await replica.stop();
  await told;
  const end = formatPosition(replica.position);
  printer.line({ event: 'stopped', position: end }, () => `stopped at ${end}`);
  return EXIT.ok;
}

/** What the library finds wrong with an option is said in the words of the command line. */
function made<T>(
  verb: string,
  known: readonly LibraryOption[],
  options: ReplicationOptions,
  make: (given: SqliteOptions & { store: StoreOption; node?: string }) => T,
): T {
  const { store, node } = options;
  try {
    return make({ ...givenOf(known, { ...options }), store, ...(node === undefined ? {} : { node }) });
  } catch (error) {
    if (!hasCode(error, 'OPTIONS_INVALID')) throw error;
    const violations = error.fields.violations as readonly { field: string; problem: string }[];
    const nameOf = (field: string): string => (field === 'db' ? 'the path of the database' : flagOf(field));
    const problem = violations.map((one) => `${nameOf(one.field)} ${one.problem}`).join('; ');
    throw cliErrors.create('USAGE', { command: `npx canopy db ${verb}`, problem }, error);
  }
}

function begun<T>(bound: Bound, interruption: Interruption, start: (signal: AbortSignal) => Promise<T>): Promise<T> {
  // It goes on being heard afterwards.
  const lent = { signal: interruption.signal, [Symbol.dispose]: () => {} };
  return undisturbed({ what: 'the start', left: 'nothing runs', bound, interruption: lent }, start);
}

/** For `db sync --file` and `db status --file`. Without it replication is as good. */
async function control(
  file: string,
  database: Primary | Replica,
  printer: Printer,
): Promise<AsyncDisposable | undefined> {
  const handle = async (request: ControlRequest, signal: AbortSignal): Promise<unknown> => {
    if (request.op !== 'sync') return database.refresh(Math.min(STATUS_MS, request.timeoutMs));
    if (!(database instanceof Primary)) throw cliErrors.create('REPLICATION_IS_COPY', { file });
    return synced(database, request, signal);
  };
  try {
    const served = await serveControl(file, handle);
    if (served === undefined) printer.note('the path is too long for a socket: db sync --file cannot reach this');
    return served;
  } catch (error) {
    printer.note(`db sync --file cannot reach this: ${(error as Error).message}`);
    return undefined;
  }
}

/** Throws DEADLINE_EXCEEDED with why, as far as that is known, where the log did not take it in time. */
async function synced(primary: Primary, request: ControlRequest, signal: AbortSignal): Promise<object> {
  const { applied, timeoutMs } = request;
  const startedAt = systemClock.monotonic();
  try {
    const position = await primary.sync({ signal, ...(applied === undefined ? {} : { durability: { applied } }) });
    return { position: formatPosition(position), ms: Math.round(systemClock.monotonic() - startedAt) };
  } catch (error) {
    if (!signal.aborted || CanopyError.is(error)) throw error;
    const why = primary.status().problem ?? 'the log has not answered: NATS may be away';
    throw coreErrors.create('DEADLINE_EXCEEDED', { operation: `the sync (${why})`, timeoutMs }, error);
  }
}

/** Resolves at the first signal, or when the database has ended by itself. */
async function ended(database: Primary | Replica, { signal }: Interruption): Promise<void> {
  for await (const event of database.watch({ signal }))
    if (event.type === 'role_changed' && event.role === 'closed') return;
}

async function tell(database: Primary | Replica, printer: Printer): Promise<void> {
  let isBegun = false;
  for await (const event of database.watch()) {
    if (event.type === 'role_changed') isBegun ||= event.role === 'primary' || event.role === 'standby';
    const text = isTold(event, database, isBegun) ? undefined : textOf(event);
    if (text !== undefined) printer.note(text);
  }
}

/** A start that fails, and what a primary or a copy ends of, are told as the verb's error. */
function isTold(event: DatabaseEvent, database: Primary | Replica, isBegun: boolean): boolean {
  if (event.type !== 'failed') return false;
  return (
    !isBegun || (database instanceof Primary ? endsPrimary(event.error) : hasCode(event.error, 'SQLITE_FOREIGN_FILE'))
  );
}

function textOf(event: DatabaseEvent): string | undefined {
  switch (event.type) {
    case 'warning':
      return `warning: ${event.message} (${event.code})`;
    case 'snapshot_created':
      return `snapshot of ${at(event.position)} stored: ${formatBytes(event.bytes)} in ${formatDuration(event.ms)}`;
    case 'bootstrap_progress':
      return `making the copy: ${progressText(event)}`;
    case 'divergence_kept':
      return `what the log does not have is kept in ${event.directory}: canopy db divergence list --file shows it`;
    case 'stalled':
      return `stalled: nothing was applied since ${at(event.position)} for ${formatDuration(event.sinceMs)}, though the log moved`;
    case 'following_interrupted':
      return `${event.reason} (it is at ${at(event.position)})`;
    case 'following_resumed':
      return `the log is seen again, after ${formatDuration(event.ms)}: the copy goes on from ${at(event.position)}`;
    case 'shipping_interrupted':
      return `NATS is away: what was committed after ${at(event.position)} waits in the file, and goes into the log when it is back`;
    case 'shipping_resumed':
      return `NATS is back: ${at(event.position)}, which has waited for ${formatDuration(event.ms)}, is in the log; what came after it follows`;
    case 'failed':
      return `failed: ${event.error.message}`;
    default:
      return undefined;
  }
}

const at = (position: Position): string => formatPosition(position);
