/**
 * What this machine can't do, as a sentence for the report of a skipped test; undefined when it can. Probed for real,
 * once per process.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const answers = new Map<string, string | undefined>();

/** Processes, memory and start times can be read from /proc. */
export function hasProcfs(): string | undefined {
  return existsSync('/proc/self/stat') ? undefined : 'procfs is not mounted on this machine';
}

/** A tmpfs of a chosen size can be mounted. */
export function canMountTmpfs(): string | undefined {
  return once('tmpfs', () => {
    if (process.getuid?.() !== 0) return 'mounting a tmpfs needs root';
    return probe('a tmpfs cannot be mounted here', 'unshare', [
      '-m',
      'sh',
      '-c',
      'mount --make-rprivate / && mount -t tmpfs -o size=64k tmpfs /tmp',
    ]);
  });
}

/** Network namespaces can be made, as root or through a user namespace. */
export function hasNetworkNamespaces(): string | undefined {
  return once('netns', () => probe('network namespaces cannot be made here', 'unshare', ['-rnm', 'true']));
}

/** apt can fetch packages from a mirror (reads one small file over the network). */
export function canReachApt(): string | undefined {
  return once('apt', () => {
    const mirror = probeOutput('apt-get', ['indextargets', '--format', '$(REPO_URI) $(RELEASE)'])
      ?.split('\n')
      .find((line) => /\/debian\/* /.test(line));
    if (mirror === undefined) return 'apt is missing or has no Debian mirror';
    const [base, suite] = mirror.split(' ');
    const directory = mkdtempSync(join(tmpdir(), 'canopy-apt-'));
    const reason = probe('the mirror of apt cannot be reached', '/usr/lib/apt/apt-helper', [
      '-o',
      'Acquire::http::Timeout=5',
      '-o',
      'Acquire::https::Timeout=5',
      '-o',
      'Acquire::Retries=0',
      'download-file',
      `${base?.replace(/\/+$/, '')}/dists/${suite}/Release`,
      join(directory, 'Release'),
    ]);
    rmSync(directory, { recursive: true, force: true });
    return reason;
  });
}

function once(name: string, ask: () => string | undefined): string | undefined {
  if (!answers.has(name)) answers.set(name, ask());
  return answers.get(name);
}

function probe(reason: string, command: string, args: readonly string[]): string | undefined {
  try {
    execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 20_000 });
    return undefined;
  } catch (error) {
    const said = String((error as { stderr?: Buffer }).stderr ?? '')
      .trim()
      .split('\n')
      .at(-1);
    return said === undefined || said === '' ? reason : `${reason} (${said})`;
  }
}

function probeOutput(command: string, args: readonly string[]): string | undefined {
  try {
    return execFileSync(command, args, { stdio: ['ignore', 'pipe', 'ignore'], timeout: 20_000, encoding: 'utf8' });
  } catch {
    return undefined;
  }
}
