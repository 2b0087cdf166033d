/** The manifest of a published package: the workspace's own, with sources replaced by what was built from them. Pure. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly bin?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, string>>;
  readonly files?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly [field: string]: unknown;
}

/** `./src/x/index.ts` becomes `./dist/x/index.js` with its declarations; development dependencies go. */
export function publishedManifest(manifest: Manifest): Manifest {
  const { devDependencies: _dev, exports = {}, ...rest } = manifest;
  const doors = Object.entries(exports).map(([door, source]) => [door, builtDoor(source)]);
  return {
    ...rest,
    files: ['dist', ...(manifest.bin === undefined ? [] : ['bin'])],
    exports: Object.fromEntries(doors) as unknown as Readonly<Record<string, string>>,
  };
}

function builtDoor(source: string): { types: string; default: string } {
  const built = source.replace(/^\.\/src\//, './dist/').replace(/\.ts$/, '');
  return { types: `${built}.d.ts`, default: `${built}.js` };
}
