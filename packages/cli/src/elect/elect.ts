/**
 * `canopy elect`: runs a command only while this process leads a group. The warden knows the command's process group
 * from before its first instruction: it kills the group when the lease's deadline passes or this process dies, and
 * releases the lease only after nothing of it is left.
 */
import { constants } from 'node:os';
import { type Duration, type Env, hasCode, type Logger, parseDuration, silentLogger, systemEnv } from '@canopy/core';
import { Election, ElectionResponder, type Leadership, Warden } from '@canopy/election';
import { connectNats } from '@canopy/nats';
import { nodeNameOfHost } from '../config/host-name.ts';
import { type ClusterOptions, findConnection } from '../connect.ts';
import { pinoLogger } from '../observe/pino-logger.ts';
import type { Printer } from '../output/printer.ts';
import { electErrors } from './errors.ts';
import { type CommandExit, GuardedCommand } from './guarded-command.ts';
import { Interruption } from './interruption.ts';

export interface ElectOptions extends ClusterOptions {
  readonly group: string;
  readonly bucket: string;
  readonly id?: string | undefined;
  readonly ttl?: Duration | undefined;
  /** Between the signal to end and SIGKILL. */
  readonly killAfterMs: number;
  /** Give up when not leader by then. */
  readonly waitMs?: number | undefined;
  /** End when leadership is lost, instead of standing again. */
  readonly once?: boolean | undefined;
  readonly logFile?: string | undefined;
}

/** For the last look at /proc after the kill. */
const HOOK_SLACK_MS = 5000;
/** With these another may hold the lease already: there is no time for a good end. */
const TAKEN: ReadonlySet<unknown> = new Set([
  'conflict',
  'key_deleted',
  'lease_expired',
  'token_validation_failure',
  'reconnect_verification_failed',
]);

export async function elect(argv: readonly string[], options: ElectOptions, printer: Printer): Promise<number> {
  const id = options.id ?? `${nodeNameOfHost()}-${process.pid}`;
  const env = systemEnv({ log: logOf(options, id) });
  const connection = findConnection(options);
  await using stack = new AsyncDisposableStack();
  // Listens to the very end: a signal that comes while the lease is being released must not cut that short.
  const interruption = new Interruption();
  const session = await connectNats(connection, { name: id, env, timeoutMs: options.timeoutMs });
  stack.defer(() => session.close());
  const warden = stack.use(new Warden({ connection, node: id }, env));
  await warden.start({ signal: interruption.signal });
  const watchdog = warden.lease(options.group);
  const { group, bucket, ttl } = options;
  const hookTimeout = options.killAfterMs + HOOK_SLACK_MS;
  const lease = ttl === undefined ? {} : { ttl, disconnectGracePeriod: graceOf(ttl) };
  const election = stack.use(
    new Election({ session, bucket, group, instanceId: id, watchdog, hookTimeout, ...lease }, env),
  );
  await election.start({ signal: interruption.signal });
  const responder = stack.use(new ElectionResponder(election, { bus: session.bus, bucket }, env));
  await responder.start();
  const runner = new Runner(argv, { options, id, env, guard: watchdog, interruption, printer });
  try {
    return await standAndRun(election, runner, options);
  } catch (error) {
    if (interruption.code === undefined) throw error;
    return interruption.code;
  }
}

/** Without NATS for half a lease the command is asked to end, so that it has the rest of it for a good end. */
function graceOf(ttl: Duration): number {
  const ttlMs = parseDuration(ttl) ?? 0;
  return Math.max(2 * Math.min(ttlMs / 3, 1000), ttlMs / 2);
}

async function standAndRun(election: Election, runner: Runner, options: ElectOptions): Promise<number> {
  const { group, waitMs, once } = options;
  const { interruption, id, printer } = runner.context;
  const failed = election.closed.then((error): never => {
    throw electErrors.create('ELECT_ENDED', { group, id, reason: error?.message ?? 'it was stopped' });
  });
  failed.catch(() => {});
  for (;;) {
    if (!election.isLeader) printer.note(`${id} stands for group ${group}`);
    const wait = { signal: interruption.signal, ...(waitMs === undefined ? {} : { timeout: waitMs }) };
    const led = election
      .lead((leadership) => runner.run(leadership), wait)
      .catch((error: unknown) => {
        // Whoever waits hears that it has ended before the reason is known.
        if (hasCode(error, 'ELECTION_STOPPED')) return failed;
        throw error;
      });
    const ran = await Promise.race([led, failed]);
    if (interruption.code !== undefined || ran.lostBy === undefined) return codeOf(ran.exit);
    if (once) throw electErrors.create('ELECT_LEADERSHIP_LOST', { group, id, reason: ran.lostBy });
    printer.note(`${id} no longer leads group ${group} (${ran.lostBy}); the command was ended`);
  }
}

interface RunnerContext {
  readonly options: ElectOptions;
  readonly id: string;
  readonly env: Env;
  readonly guard: ReturnType<Warden['lease']>;
  readonly interruption: Interruption;
  readonly printer: Printer;
}

interface Ran {
  readonly exit: CommandExit;
  /** Why leadership went before the command ended by itself. */
  readonly lostBy: string | undefined;
}

class Runner {
  readonly context: RunnerContext;
  readonly #argv: readonly string[];

  constructor(argv: readonly string[], context: RunnerContext) {
    this.#argv = argv;
    this.context = context;
  }

  /** Runs the command once under the term; resolves when nothing of it is left. */
  async run(leadership: Leadership): Promise<Ran> {
    const { options, id, env, guard, interruption, printer } = this.context;
    const { group, killAfterMs } = options;
    const { epoch, signal } = leadership;
    const variables = { CANOPY_GROUP: group, CANOPY_EPOCH: String(epoch), CANOPY_INSTANCE: id };
    let command: GuardedCommand;
    try {
      command = await GuardedCommand.launch({ argv: this.#argv, variables, guard }, env);
    } catch (error) {
      // The term may have ended before the warden was told.
      if (hasCode(error, 'WARDEN_NOT_HELD', 'WARDEN_FENCED'))
        return { exit: { code: undefined, signal: 'SIGKILL' }, lostBy: reasonOf(signal) };
      throw missingOr(error, this.#argv[0] as string);
    }
    printer.note(
      `${id} leads group ${group} under epoch ${epoch}: running ${this.#argv.join(' ')} (${command.id.pid})`,
    );
    using _ = interruption.forward((name, times) => (times > 1 ? command.kill() : command.end(killAfterMs, name)));
    const onLost = (): void => {
      const reason = reasonOf(signal);
      // The warden kills at the lease's deadline whatever we allow here.
      command.end(TAKEN.has(reason) ? 0 : killAfterMs);
    };
    signal.addEventListener('abort', onLost, { once: true });
    if (signal.aborted) onLost();
    const exit = await command.ended;
    signal.removeEventListener('abort', onLost);
    return { exit, lostBy: leadership.isValid() ? undefined : reasonOf(signal) };
  }
}

/** The word for it, also before the election has noticed what the clock says already. */
function reasonOf(signal: AbortSignal): string {
  const fields = (signal.reason as { fields?: { reason?: unknown } } | undefined)?.fields;
  return typeof fields?.reason === 'string' ? fields.reason : 'lease_expired';
}

function codeOf({ code, signal }: CommandExit): number {
  return code ?? 128 + (constants.signals[signal as NodeJS.Signals] ?? 0);
}

function missingOr(error: unknown, command: string): unknown {
  if (!hasCode(error, 'BACKEND_COMMAND_MISSING', 'BACKEND_CWD_MISSING')) return error;
  const { problem = error.message } = error.fields as { problem?: string };
  const isThere = /is not executable|is a directory/.test(problem);
  return electErrors.create(isThere ? 'ELECT_COMMAND_UNUSABLE' : 'ELECT_COMMAND_MISSING', { command, problem });
}

function logOf({ logFile, group }: ElectOptions, id: string): Logger {
  if (logFile === undefined) return silentLogger;
  return pinoLogger({ level: 'info', file: logFile, base: { group, id, pid: process.pid } });
}
