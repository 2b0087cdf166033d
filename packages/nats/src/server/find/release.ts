/**
 * The NATS project's own release: the archive for this machine, verified against the release's SHA256SUMS before
 * anything of it is unpacked. A host that does not answer within a few seconds is given up, other ways follow.
 */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { messageOf } from '@canopy/core';
import { childEnvironment } from '../environment.ts';
import { describeFailure, runCommand } from '../machine/run-command.ts';
import type { AttemptContext, AttemptResult } from './attempt.ts';

export interface ReleaseLocation {
  /** Below it: `v<version>/SHA256SUMS` and `v<version>/nats-server-v<version>-<os>-<arch>.tar.gz`. */
  readonly baseUrl: string;
  readonly version: string;
}

/** The NATS project's release location, and the version that this release of Canopy was made with. */
export const NATS_RELEASE: ReleaseLocation = {
  baseUrl: 'https://github.com/nats-io/nats-server/releases/download',
  version: '2.15.1',
};

const CONNECT_TIMEOUT_MS = 3_000;
const DOWNLOAD_TIMEOUT_MS = 180_000;
/** Far above any release; a longer answer is not what was asked for. */
const ARCHIVE_MAX_BYTES = 256 * 1024 * 1024;

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64', arm: 'arm7', ppc64: 'ppc64le' };

export async function fromRelease(location: ReleaseLocation, context: AttemptContext): Promise<AttemptResult> {
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined || !['linux', 'darwin'].includes(process.platform))
    return { problem: `the NATS project has no release for ${process.platform} on ${process.arch}` };
  const folder = `nats-server-v${location.version}-${process.platform}-${architecture}`;
  const archive = `${folder}.tar.gz`;
  const base = `${location.baseUrl}/v${location.version}`;
  context.onProgress({
    type: 'attempt_started',
    source: 'release',
    detail: `getting nats-server ${location.version} from ${new URL(location.baseUrl).host}`,
  });
  try {
    const sums = await readText(`${base}/SHA256SUMS`, context);
    const expected = checksumFor(sums, archive);
    if (expected === undefined) return { problem: `the release's SHA256SUMS does not name ${archive}` };
    const file = join(context.workspace, archive);
    await download(`${base}/${archive}`, file, context);
    const actual = await sha256(file);
    if (actual !== expected) return { problem: `${archive} has SHA-256 ${actual}, the release names ${expected}` };
    const result = await runCommand('tar', ['-xzf', file, '-C', context.workspace], {
      clock: context.env.clock,
      environment: childEnvironment(context.environment),
      timeoutMs: 60_000,
      signal: context.signal,
    });
    if (result.code !== 0) return { problem: describeFailure(`unpacking ${archive}`, result) };
    return { binary: join(context.workspace, folder, 'nats-server') };
  } catch (error) {
    context.signal?.throwIfAborted();
    return { problem: `${new URL(location.baseUrl).host}: ${deepMessage(error)}` };
  }
}

/** The checksum that a SHA256SUMS text names for a file. */
export function checksumFor(sums: string, file: string): string | undefined {
  for (const line of sums.split('\n')) {
    const match = /^([0-9a-f]{64})\s+\*?(\S+)$/i.exec(line.trim());
    if (match?.[2] === file) return match[1]?.toLowerCase();
  }
  return undefined;
}

/** The answer to a GET; bounded until its head is there, and again until its end. */
async function request<T>(url: string, context: AttemptContext, read: (response: Response) => Promise<T>): Promise<T> {
  const abort = new AbortController();
  const { clock } = context.env;
  const connect = clock.timer(CONNECT_TIMEOUT_MS, () =>
    abort.abort(new Error(`no answer within ${CONNECT_TIMEOUT_MS / 1000} s`)),
  );
  const whole = clock.timer(DOWNLOAD_TIMEOUT_MS, () => abort.abort(new Error('the download took too long')));
  try {
    const signal = context.signal === undefined ? abort.signal : AbortSignal.any([abort.signal, context.signal]);
    const response = await fetch(url, { signal });
    connect.cancel();
    if (!response.ok) throw new Error(`HTTP ${response.status} for ${url}`);
    return await read(response);
  } finally {
    connect.cancel();
    whole.cancel();
  }
}

function readText(url: string, context: AttemptContext): Promise<string> {
  return request(url, context, async (response) => {
    const text = await response.text();
    if (text.length > 1024 * 1024) throw new Error(`${url} is too long`);
    return text;
  });
}

function download(url: string, file: string, context: AttemptContext): Promise<void> {
  return request(url, context, async (response) => {
    const length = Number(response.headers.get('content-length') ?? Number.NaN);
    const totalBytes = Number.isSafeInteger(length) ? length : undefined;
    let doneBytes = 0;
    let told = 0;
    const meter = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        doneBytes += chunk.length;
        if (doneBytes - told >= 1_000_000 || doneBytes === totalBytes) {
          told = doneBytes;
          context.onProgress({ type: 'attempt_advanced', source: 'release', doneBytes, totalBytes });
        }
        done(doneBytes > ARCHIVE_MAX_BYTES ? new Error(`${url} is too long`) : null, chunk);
      },
    });
    if (response.body === null) throw new Error(`${url} has no content`);
    await pipeline(Readable.fromWeb(response.body), meter, createWriteStream(file));
  });
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

/** fetch hides the reason (refused, unknown host) in the cause. */
function deepMessage(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause === undefined ? messageOf(error) : `${messageOf(error)} (${messageOf(cause)})`;
}
