/** The packages as a user gets them: built, packed, installed from tarballs into an empty project, and run. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryDirectory, testNatsServer } from '@canopy/testkit';
import { expect, it } from 'vitest';
import { packAll } from '../pack/build.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** npm's scripts and the installed command run under the Node that runs this. */
const environment = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH}` };

function run(program: string, args: readonly string[], cwd: string): string {
  return execFileSync(program, args, {
    cwd,
    env: environment,
    encoding: 'utf8',
    timeout: 80_000,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function install(project: string, tarballs: readonly string[]): string | undefined {
  try {
    run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', ...tarballs], project);
    return undefined;
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    if (/ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT/.test(stderr)) return 'the package registry cannot be reached';
    throw error;
  }
}

it('packed packages install, run, and need none of the sources', async ({ skip }) => {
  await using directory = await temporaryDirectory('packed');
  const project = directory.path;
  const packed = packAll(ROOT, join(project, 'work'), join(project, 'tarballs'));
  expect(packed.map(({ name }) => name)).toContain('@canopy/platform');
  for (const { file } of packed) expect(run('tar', ['tzf', file], project)).not.toMatch(/^package\/src\//m);

  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }));
  const unreachable = install(
    project,
    packed.map(({ file }) => file),
  );
  if (unreachable !== undefined) return skip(unreachable);

  expect(run(join(project, 'node_modules/.bin/canopy'), ['--version'], project).trim()).toMatch(/^\d+\.\d+\.\d+$/);
  await using nats = await testNatsServer();
  copyFileSync(fileURLToPath(new URL('./packed-program.mjs', import.meta.url)), join(project, 'program.mjs'));
  const said = run(process.execPath, ['program.mjs', nats.url, join(project, 'data')], project);
  expect(said).toMatch(/^active under epoch \d+\nstopped$/m);
});
