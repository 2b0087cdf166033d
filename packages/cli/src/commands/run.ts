/**
 * `canopy run`: one node of a platform, in the foreground. SIGTERM and SIGINT stop it gracefully (hand over, ship, leave);
 * a second one ends it at once, which is as safe as SIGKILL: the warden fences and releases what it held.
 */
import { Socket } from 'node:net';
import { describeConnection, type LogLevel, systemClock, systemEnv } from '@canopy/core';
import { type Platform, PromMetrics } from '@canopy/platform';
import { buildPlatform, planNode } from '../config/build.ts';
import { nodeNameOfHost } from '../config/host-name.ts';
import { loadConfig, type Overrides } from '../config/load.ts';
import { ensureWritableDirectory } from '../config/writable-directory.ts';
import { EXIT } from '../exit-codes.ts';
import { pinoLogger } from '../observe/pino-logger.ts';
import type { Printer } from '../output/printer.ts';

/** Whoever started this node is gone, and often NATS with it: waiting for answers then only delays the fencing. */
const ORPHAN_STOP_MS = 3_000;

export interface RunOptions extends Overrides {
  readonly config: string;
  readonly logLevel?: LogLevel | undefined;
  readonly logFile?: string | undefined;
  /** A descriptor whose end-of-file means that whoever started this node is gone. */
  readonly parentPipe?: number | undefined;
}

export async function runNode(options: RunOptions, printer: Printer): Promise<number> {
  const plan = planNode(loadConfig(options.config, options), nodeNameOfHost());
  ensureWritableDirectory(plan.dataDir);
  const metrics = new PromMetrics();
  const lost = metrics.counter({
    name: 'canopy_log_lines_lost_total',
    help: 'Log lines that could not be written, because of a full disk or a closed pipe.',
  });
  const log = pinoLogger({
    level: options.logLevel ?? plan.config.log?.level ?? 'info',
    file: options.logFile ?? plan.config.log?.file,
    // The platform puts its name and its node on every line itself.
    base: { pid: process.pid },
    onLost: () => lost.add(),
  });
  const own = log.with({ platform: plan.platform, node: plan.node });
  const platform = buildPlatform(plan, systemEnv({ log, metrics }));
  const stopper = stopOnSignals(platform, printer, options.parentPipe);
  try {
    own.info('node_starting', { servers: describeConnection(plan.connection), node_version: process.version });
    await platform.start({ signal: stopper.signal });
    const url = platform.httpAddress;
    printer.note(
      `node ${plan.node} of platform ${plan.platform} is up${url === undefined ? '' : `; health at ${url}/health`}`,
    );
    const error = await platform.closed;
    if (error !== undefined) throw error;
    return EXIT.ok;
  } catch (error) {
    if (stopper.signal.aborted) return EXIT.ok;
    own.error('node_failed', { error });
    throw error;
  } finally {
    await platform.stop();
    stopper.dispose();
  }
}

function stopOnSignals(
  platform: Platform,
  printer: Printer,
  parentPipe: number | undefined,
): { signal: AbortSignal; dispose(): void } {
  const controller = new AbortController();
  let disposed = false;
  const stop = (why: string): void => {
    if (controller.signal.aborted) {
      printer.note('stopping at once; the warden releases what this node held');
      process.exit(EXIT.interrupted);
    }
    printer.note(`${why}: stopping gracefully; once more ends at once`);
    controller.abort(new DOMException(why, 'AbortError'));
    void platform.stop();
  };
  const onTerm = (): void => stop('SIGTERM');
  const onInt = (): void => stop('SIGINT');
  process.on('SIGTERM', onTerm);
  process.on('SIGINT', onInt);
  // A terminal that closes is not a reason to give up leadership half-way: same as SIGTERM.
  process.on('SIGHUP', onTerm);
  // A socket, not a file stream: a file's pending read would sit in a thread and keep this process from ending.
  const pipe = parentPipe === undefined ? undefined : new Socket({ fd: parentPipe, readable: true, writable: false });
  pipe?.on('error', () => {});
  pipe?.on('close', () => {
    if (disposed) return;
    systemClock.timer(ORPHAN_STOP_MS, () => process.exit(EXIT.interrupted), { background: true });
    if (!controller.signal.aborted) stop('parent ended');
  });
  pipe?.resume();
  return {
    signal: controller.signal,
    dispose: () => {
      disposed = true;
      process.off('SIGTERM', onTerm);
      process.off('SIGINT', onInt);
      process.off('SIGHUP', onTerm);
      pipe?.destroy();
    },
  };
}
