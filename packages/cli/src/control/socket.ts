/**
 * How other commands on this machine reach the one that replicates a file: a Unix socket in the directory beside the database,
 * which is its owner's alone. One request a connection, one line of JSON each way; hanging up takes the request back.
 * Invariant: only who has the database's lock listens, so a socket that nobody answers is one that a kill has left.
 */
import { chmodSync, rmSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { CanopyError, coreErrors, messageOf, systemClock } from '@canopy/core';
import { realDatabasePath } from '@canopy/sqlite';
import { cliErrors } from '../errors.ts';

export interface ControlRequest {
  readonly op: 'sync' | 'status';
  /** Of `sync`: so many standbys as well. */
  readonly applied?: number | undefined;
  readonly timeoutMs: number;
}

export type ControlHandler = (request: ControlRequest, signal: AbortSignal) => Promise<unknown>;

/** The system cuts longer names of sockets off. */
const PATH_MAX_BYTES = 100;
const LINE_MAX = 64 * 1024;
/** For a connection that sends nothing. */
const PATIENCE_MS = 5000;
/** On top of a request's own bound at the client: the other side keeps it, or does not run. */
const ANSWER_MS = 2000;

export function controlPath(file: string): string {
  return join(`${realDatabasePath(file)}-canopy`, 'control.sock');
}

/** To be called by who has the database. Undefined where the path is too long for a socket: then nobody can ask. */
export async function serveControl(file: string, handle: ControlHandler): Promise<AsyncDisposable | undefined> {
  const path = controlPath(file);
  if (Buffer.byteLength(path) > PATH_MAX_BYTES) return undefined;
  rmSync(path, { force: true });
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket)).on('error', () => {});
    serve(socket, handle);
  });
  await listening(server, path);
  chmodSync(path, 0o600);
  return {
    [Symbol.asyncDispose]: () =>
      new Promise((closed) => {
        server.close(() => closed());
        for (const socket of open) socket.destroy();
      }),
  };
}

function listening(server: Server, path: string): Promise<void> {
  return new Promise((done, fail) => {
    server.once('error', fail);
    server.listen(path, () => {
      server.off('error', fail);
      done();
    });
  });
}

function serve(socket: Socket, handle: ControlHandler): void {
  const gone = new AbortController();
  socket.on('close', () => gone.abort(new DOMException('the caller has gone', 'AbortError')));
  socket.setTimeout(PATIENCE_MS, () => socket.destroy());
  readLine(socket, (line) => {
    socket.setTimeout(0);
    const answered =
      line === undefined ? Promise.reject(new Error('the request is too long')) : answer(line, handle, gone.signal);
    answered.then(
      (ok) => socket.end(`${JSON.stringify({ ok: ok ?? null })}\n`),
      (error: unknown) => socket.end(`${JSON.stringify({ error: errorJson(error) })}\n`),
    );
  });
}

async function answer(line: string, handle: ControlHandler, gone: AbortSignal): Promise<unknown> {
  const request = JSON.parse(line) as ControlRequest;
  const limit = new AbortController();
  const timer = systemClock.timer(request.timeoutMs, () => limit.abort(new DOMException('too late', 'AbortError')));
  try {
    return await handle(request, AbortSignal.any([gone, limit.signal]));
  } catch (error) {
    if (!limit.signal.aborted || CanopyError.is(error)) throw error;
    throw coreErrors.create('DEADLINE_EXCEEDED', { operation: request.op, timeoutMs: request.timeoutMs }, error);
  } finally {
    timer.cancel();
  }
}

function errorJson(error: unknown): object {
  return CanopyError.is(error) ? error.toJSON() : { code: 'UNEXPECTED', message: messageOf(error) };
}

/** Throws REPLICATION_NOT_RUNNING, REPLICATION_SILENT, and what the other side throws. */
export async function askControl(file: string, request: ControlRequest): Promise<unknown> {
  const path = controlPath(file);
  const notRunning = (cause?: unknown): Error => cliErrors.create('REPLICATION_NOT_RUNNING', { file }, cause);
  if (Buffer.byteLength(path) > PATH_MAX_BYTES) throw cliErrors.create('CONTROL_PATH_LONG', { path });
  const line = await new Promise<string | undefined>((done, fail) => {
    const socket = createConnection(path);
    socket.on('error', (error) => fail(notRunning(error)));
    socket.setTimeout(request.timeoutMs + ANSWER_MS, () => {
      fail(cliErrors.create('REPLICATION_SILENT', { file }));
      socket.destroy();
    });
    socket.on('close', () => done(undefined));
    readLine(socket, done);
    socket.write(`${JSON.stringify(request)}\n`);
  });
  if (line === undefined) throw notRunning();
  const { ok, error } = JSON.parse(line) as { ok?: unknown; error?: Parameters<typeof CanopyError.fromJSON>[0] };
  if (error !== undefined) throw CanopyError.fromJSON(error);
  return ok;
}

/** `heard` gets the first line, or undefined where that is too long. */
function readLine(socket: Socket, heard: (line: string | undefined) => void): void {
  let text = '';
  const take = (piece: string): void => {
    text += piece;
    const end = text.indexOf('\n');
    if (end < 0 && text.length <= LINE_MAX) return;
    socket.off('data', take);
    heard(end < 0 ? undefined : text.slice(0, end));
  };
  socket.setEncoding('utf8').on('data', take);
}
