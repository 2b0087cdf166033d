/**
 * The warden process: one per node process, its child, in a session of its own. It reads requests from stdin, whose
 * other end only the parent holds, so that the end of the input is the parent's death, however it died. It ignores the
 * signals of a terminal and of service managers: it ends when its parent has ended and its work is done, never before.
 */
import { flushCompileCache } from 'node:module';
import { setPriority } from 'node:os';
import { systemClock } from '@canopy/core';
import { runFenceCommand } from './fence-command.ts';
import { Guardian } from './guardian.ts';
import { NatsLink } from './nats-link.ts';
import { systemProcesses } from './process-table.ts';
import { type ConfigureMessage, encodeLine, LineSplitter, type WardenReport, type WardenRequest } from './protocol.ts';
import { releaseLease } from './release.ts';

function report(message: WardenReport): void {
  process.stdout.write(encodeLine(message));
}

function begin(config: ConfigureMessage): Guardian {
  const link = new NatsLink(config.connection, `canopy-warden-${config.node}`, systemClock, (connected, detail) =>
    report({ type: 'link', connected, detail }),
  );
  const guardian = new Guardian({
    clock: systemClock,
    table: systemProcesses,
    drainMs: config.drainMs,
    release: async (lease, until) => {
      await releaseLease(link, systemClock, lease, until);
    },
    report,
    run: (command) => runFenceCommand(command, systemClock),
  });
  report({ type: 'ready' });
  // With the code cached, the next warden starts without loading a compiler: half the memory, a third of the time.
  flushCompileCache();
  return guardian;
}

function main(): void {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'] as const) process.on(signal, () => {});
  // A dead parent can't be written to; that is no reason to end before its leases are settled.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  try {
    // On a starved machine the warden must run before what it guards. Needs a privilege; does without.
    setPriority(-10);
  } catch {}

  const lines = new LineSplitter();
  let guardian: Guardian | undefined;
  process.stdin.setEncoding('utf8');
  process.stdin.on('data', (chunk: string) => {
    for (const line of lines.push(chunk)) {
      const message = JSON.parse(line) as ConfigureMessage | WardenRequest;
      if (message.op === 'configure') guardian = begin(message);
      else guardian?.handle(message);
    }
  });
  let ended = false;
  const onParentGone = (): void => {
    if (ended) return;
    ended = true;
    void Promise.resolve(guardian?.parentGone()).finally(() => process.exit(0));
  };
  process.stdin.on('end', onParentGone);
  process.stdin.on('error', onParentGone);
  process.stdin.on('close', onParentGone);
}

main();
