/**
 * The program of the database process: one per database, started by `database/child.ts`. It works only after its parent
 * has sent what to open (by then the guard knows this process), ignores what a terminal sends to its group, and when the
 * parent is gone, or asks for it with SIGTERM, ships what is committed within a bound and ends.
 */
import { enableCompileCache } from 'node:module';
import type { DatabaseSpec, FromDatabase, ToDatabase } from './protocol.ts';

enableCompileCache();

/** Bound on shipping the last commits when the parent is gone: whoever takes over waits for this process. */
const DRAIN_MS = 1000;

const send = (message: FromDatabase): void => {
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
};

let ending = false;
let end: () => Promise<void> = async () => {};

function endProcess(code: number): void {
  if (ending) return;
  ending = true;
  end().then(
    () => process.exit(code),
    () => process.exit(code),
  );
}

process.on('SIGINT', () => {});
process.on('SIGHUP', () => {});
process.on('SIGTERM', () => endProcess(0));
process.on('disconnect', () => endProcess(0));

const early: ToDatabase[] = [];
let deliver = (message: ToDatabase): void => {
  if (message.type === 'open') void open(message.spec);
  else early.push(message);
};
process.on('message', (message) => deliver(message as ToDatabase));

/** Everything heavy is loaded here, after the parent has been told that the process exists. */
async function open(spec: DatabaseSpec): Promise<void> {
  const { systemEnv } = await import('@canopy/core');
  const { DatabaseEngine } = await import('./engine.ts');
  const { EngineServer, forwardLog } = await import('./server.ts');
  const env = systemEnv({ log: forwardLog(send) });
  const engine = new DatabaseEngine({
    spec,
    env,
    pid: process.pid,
    connect: async () => {
      const { connectNats } = await import('@canopy/nats');
      return connectNats(spec.connection, { name: `${spec.node}-db-${spec.app}`, env, waitForServer: true });
    },
    onEvent: (event) => server.event(event),
    onStatus: () => server.statusChanged(),
  });
  const server = new EngineServer(engine, env, send);
  end = () => engine.drain(DRAIN_MS);
  deliver = (message) => {
    server.receive(message);
    if (message.type === 'call' && message.method === 'stop') void engine.closed.then(() => endProcess(0));
  };
  for (const message of early.splice(0)) deliver(message);
}
