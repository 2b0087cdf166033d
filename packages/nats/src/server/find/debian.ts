/**
 * Debian's own package of nats-server, newest suite first, through the mirror and proxy that this machine's apt is
 * configured with. apt verifies the archive's signature, the index and the package; all its state is in the workspace,
 * so neither root nor a HOME is needed and nothing of the system changes.
 */
import { access, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { childEnvironment } from '../environment.ts';
import { type CommandOptions, type CommandResult, describeFailure, runCommand } from '../machine/run-command.ts';
import type { AttemptContext, AttemptResult } from './attempt.ts';

/** Newest first. Older suites than these carry a server that is too old. */
export const DEBIAN_SUITES: readonly string[] = ['sid', 'trixie'];

const KEYRINGS = ['/usr/share/keyrings/debian-archive-keyring.gpg', '/usr/share/keyrings/debian-archive-keyring.pgp'];

/** Gets the package of one suite; `context.workspace` must be fresh for each call. */
export async function fromDebian(suite: string, context: AttemptContext): Promise<AttemptResult> {
  const environment = childEnvironment(context.environment);
  const run = (command: string, args: readonly string[], timeoutMs: number): Promise<CommandResult> => {
    const options: CommandOptions = {
      clock: context.env.clock,
      environment,
      timeoutMs,
      cwd: context.workspace,
      signal: context.signal,
    };
    return runCommand(command, args, options);
  };

  const targets = await run('apt-get', ['indextargets', '--format', '$(REPO_URI)'], 10_000);
  if (targets.code !== 0) return { problem: 'apt is not on this machine' };
  const mirror = debianMirror(targets.stdout);
  if (mirror === undefined) return { problem: 'apt on this machine is not configured with a Debian mirror' };
  const keyring = await firstThatExists(KEYRINGS);
  if (keyring === undefined) return { problem: "Debian's archive keyring is not on this machine" };

  const architecture = (await run('dpkg', ['--print-architecture'], 10_000)).stdout.trim();
  const options = await isolatedApt(
    context.workspace,
    `[arch=${architecture} signed-by=${keyring}] ${mirror} ${suite}`,
  );
  context.onProgress({
    type: 'attempt_started',
    source: 'debian',
    detail: `getting nats-server from Debian ${suite}: package index (about 10 MB)`,
  });
  const update = await run('apt-get', [...options, 'update'], 120_000);
  if (update.code !== 0) return { problem: describeFailure(`apt-get update (${suite})`, update) };
  context.onProgress({
    type: 'attempt_started',
    source: 'debian',
    detail: `getting nats-server from Debian ${suite}: package (about 5 MB)`,
  });
  const download = await run('apt-get', [...options, 'download', 'nats-server'], 120_000);
  if (download.code !== 0) return { problem: describeFailure(`apt-get download (${suite})`, download) };
  const file = (await readdir(context.workspace)).find((name) => name.endsWith('.deb'));
  if (file === undefined) return { problem: `apt-get download (${suite}) left no package` };
  const unpack = await run('dpkg-deb', ['-x', file, 'unpacked'], 60_000);
  if (unpack.code !== 0) return { problem: describeFailure(`unpacking ${file}`, unpack) };
  return { binary: join(context.workspace, 'unpacked', 'usr', 'sbin', 'nats-server') };
}

/** The main archive among the repositories that apt uses. */
export function debianMirror(repositories: string): string | undefined {
  return repositories
    .split('\n')
    .map((line) => line.trim())
    .find((line) => /\/debian\/*$/.test(line));
}

/** Options that keep apt off every file of the system but its proxy settings. */
async function isolatedApt(workspace: string, source: string): Promise<readonly string[]> {
  for (const directory of ['lists/partial', 'cache/partial', 'state'])
    await mkdir(join(workspace, directory), { recursive: true });
  const list = join(workspace, 'sources.list');
  await writeFile(list, `deb ${source} main\n`);
  const settings = {
    'Dir::Etc::SourceList': list,
    'Dir::Etc::SourceParts': '/dev/null',
    'Dir::Etc::Preferences': '/dev/null',
    'Dir::Etc::PreferencesParts': '/dev/null',
    'Dir::State': join(workspace, 'state'),
    'Dir::State::Lists': join(workspace, 'lists'),
    'Dir::State::status': '/dev/null',
    'Dir::Cache': join(workspace, 'cache'),
    'APT::Sandbox::User': '',
    'Acquire::Languages': 'none',
    'Acquire::PDiffs': 'false',
    'Acquire::Retries': '2',
    'Acquire::http::Timeout': '10',
    'Acquire::https::Timeout': '10',
  };
  return ['-qq', ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])];
}

async function firstThatExists(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    try {
      await access(path);
      return path;
    } catch {
      // The next one.
    }
  }
  return undefined;
}
