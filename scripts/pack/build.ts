/**
 * Compiles all packages in one pass and packs each of them: JavaScript and declarations in `dist`, a manifest that points
 * there, no sources. What the workspace runs from is not touched.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Manifest, publishedManifest } from './manifest.ts';

export interface Packed {
  readonly name: string;
  /** Path of the tarball. */
  readonly file: string;
}

/** Builds in `work` (made anew) and leaves one tarball per public package in `out`. Throws with the compiler's words. */
export function packAll(root: string, work: string, out: string): Packed[] {
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  mkdirSync(out, { recursive: true });
  compile(root, work);
  return readdirSync(join(root, 'packages'))
    .filter((directory) => directory !== 'testkit')
    .map((directory) => packOne(root, work, out, directory));
}

function compile(root: string, work: string): void {
  const config = join(work, 'tsconfig.json');
  writeFileSync(
    config,
    JSON.stringify({
      extends: join(root, 'tsconfig.json'),
      compilerOptions: {
        noEmit: false,
        declaration: true,
        rewriteRelativeImportExtensions: true,
        rootDir: join(root, 'packages'),
        outDir: join(work, 'js'),
        typeRoots: [join(root, 'node_modules/@types')],
      },
      include: [join(root, 'packages/*/src')],
      // Suites for other implementers need vitest, which a user of the package may not have.
      exclude: [join(root, 'packages/testkit')],
    }),
  );
  run(join(root, 'node_modules/.bin/tsc'), ['-p', config], root);
}

function packOne(root: string, work: string, out: string, directory: string): Packed {
  const source = join(root, 'packages', directory);
  const stage = join(work, 'stage', directory);
  const manifest = JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as Manifest;
  mkdirSync(stage, { recursive: true });
  cpSync(join(work, 'js', directory, 'src'), join(stage, 'dist'), { recursive: true });
  for (const file of ['README.md', 'DESIGN.md']) cpQuietly(join(source, file), join(stage, file));
  cpSync(join(root, 'LICENSE'), join(stage, 'LICENSE'));
  if (manifest.bin !== undefined) stageBin(source, stage, manifest.bin);
  writeFileSync(join(stage, 'package.json'), `${JSON.stringify(publishedManifest(manifest), null, 2)}\n`);
  const [packed] = JSON.parse(run('npm', ['pack', '--json', '--pack-destination', out], stage)) as {
    filename: string;
  }[];
  if (packed === undefined) throw new Error(`npm pack said nothing of ${manifest.name}`);
  return { name: manifest.name, file: join(out, packed.filename) };
}

/** The launcher starts the built program instead of the sources. */
function stageBin(source: string, stage: string, bin: Readonly<Record<string, string>>): void {
  mkdirSync(join(stage, 'bin'), { recursive: true });
  for (const file of Object.values(bin)) {
    const text = readFileSync(join(source, file), 'utf8').replace('../src/main.ts', '../dist/main.js');
    writeFileSync(join(stage, file), text, { mode: 0o755 });
  }
}

function cpQuietly(from: string, to: string): void {
  try {
    cpSync(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

function run(program: string, args: readonly string[], cwd: string): string {
  try {
    return execFileSync(program, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(' ')}:\n${stdout}${stderr}`, { cause: error });
  }
}
