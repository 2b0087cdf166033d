/** The repository as the rules see it: source files with their imports, documents, and the packages with their exports. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { blank } from './blank.ts';

export interface Finding {
  /** Relative to the root. */
  readonly path: string;
  readonly line: number;
  readonly rule: string;
  readonly message: string;
}

export type Rule = (tree: Tree) => Finding[];

export interface Import {
  readonly specifier: string;
  readonly line: number;
  /** `import type` and `export type`: gone at run time. */
  readonly typeOnly: boolean;
}

export interface SourceFile {
  readonly path: string;
  readonly text: string;
  /** Without comments and the insides of strings; same offsets as `text`. */
  readonly code: string;
  readonly comments: string;
  readonly imports: readonly Import[];
  /** The package it belongs to, or undefined for what stands outside of packages. */
  readonly owner: Package | undefined;
  /** In a `test` folder, or a test by its name. */
  readonly isTest: boolean;
}

export interface Package {
  readonly name: string;
  /** Relative to the root. */
  readonly folder: string;
  /** The keys of `exports`; empty when it has none. */
  readonly doors: readonly string[];
  readonly dependencies: readonly string[];
  readonly devDependencies: readonly string[];
}

export interface Tree {
  readonly root: string;
  readonly sources: readonly SourceFile[];
  /** Paths of all other text files (Markdown, shell, YAML). */
  readonly documents: readonly string[];
  readonly packages: readonly Package[];
  /** Text of a file, or undefined when it isn't there. */
  read(path: string): string | undefined;
}

const FOLDERS = ['packages', 'examples', 'e2e', 'bench', 'scripts', 'docs', '.ci'];
const SKIPPED: ReadonlySet<string> = new Set(['node_modules', 'dist', 'coverage', 'fixtures']);

export function readTree(root: string): Tree {
  const paths = readdirSync(root)
    .filter((name) => /\.(ts|js|md)$/.test(name))
    .concat(FOLDERS.flatMap((folder) => walk(root, folder)))
    .sort();
  const packages = paths.filter((path) => path.endsWith('/package.json')).map((path) => readPackage(root, path));
  const sources = paths.filter((path) => /\.(ts|js|mjs)$/.test(path)).map((path) => readSource(root, path, packages));
  return {
    root,
    sources,
    packages,
    documents: paths.filter((path) => /\.(md|sh|ya?ml)$|^\.ci\//.test(path)),
    read: (path) => (existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : undefined),
  };
}

/** The line (from 1) of an offset. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) line++;
  return line;
}

/** Where a relative import leads, or undefined for a package. */
export function resolveImport(file: SourceFile, specifier: string): string | undefined {
  return specifier.startsWith('.') ? normalize(join(dirname(file.path), specifier)) : undefined;
}

function walk(root: string, folder: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return SKIPPED.has(entry.name) || entry.name.startsWith('.') ? [] : walk(root, path);
    return entry.isFile() ? [path] : [];
  });
}

function readPackage(root: string, path: string): Package {
  const manifest = JSON.parse(readFileSync(join(root, path), 'utf8')) as Record<string, Record<string, unknown>>;
  return {
    name: String(manifest.name),
    folder: relative('.', dirname(path)),
    doors: Object.keys(manifest.exports ?? {}),
    dependencies: Object.keys(manifest.dependencies ?? {}),
    devDependencies: Object.keys(manifest.devDependencies ?? {}),
  };
}

function readSource(root: string, path: string, packages: readonly Package[]): SourceFile {
  const text = readFileSync(join(root, path), 'utf8');
  const { code, comments } = blank(text);
  return {
    path,
    text,
    code,
    comments,
    imports: findImports(text, code),
    owner: packages.find((candidate) => path.startsWith(`${candidate.folder}/`)),
    isTest: /(^|\/)test\//.test(path) || /\.test\.ts$/.test(path),
  };
}

/** `import … from '…'`, `export … from '…'`, `import '…'` and `import('…')` with a literal. */
function findImports(text: string, code: string): Import[] {
  const pattern = /\b(?:(?:import|export)\b(?<clause>[^;'"()]*?)\bfrom\s*|import\s*\(?\s*)(?<quote>['"])/g;
  return [...code.matchAll(pattern)].map((match) => {
    const begin = match.index + match[0].length;
    const end = text.indexOf(match.groups?.quote as string, begin);
    return {
      specifier: text.slice(begin, end),
      line: lineAt(text, begin),
      typeOnly: /^\s*type\b(?!\s*,)/.test(match.groups?.clause ?? ''),
    };
  });
}
