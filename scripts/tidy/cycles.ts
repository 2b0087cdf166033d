/** Import cycles between files and between packages. Type-only imports don't count between files: they are gone at run time. */
import { type Finding, resolveImport, type Tree } from './tree.ts';

interface Edge {
  readonly to: string;
  readonly line: number;
  /** The file that draws the edge. */
  readonly path: string;
}

type Graph = ReadonlyMap<string, readonly Edge[]>;

export function cycles(tree: Tree): Finding[] {
  return [
    ...findCycles(fileGraph(tree)).map((cycle) => describe(cycle, 'files')),
    ...findCycles(packageGraph(tree)).map((cycle) => describe(cycle, 'packages')),
  ];
}

function fileGraph(tree: Tree): Graph {
  return new Map(
    tree.sources.map((file) => [
      file.path,
      file.imports.flatMap(({ specifier, line, typeOnly }) => {
        const to = typeOnly ? undefined : resolveImport(file, specifier);
        return to === undefined ? [] : [{ to, line, path: file.path }];
      }),
    ]),
  );
}

/** As the shipped sources draw it: tests may use what stands above their package's sources. */
function packageGraph(tree: Tree): Graph {
  const graph = new Map<string, Edge[]>(tree.packages.map(({ name }) => [name, []]));
  for (const { path, imports, owner, isTest } of tree.sources) {
    if (owner === undefined || isTest) continue;
    for (const { specifier, line } of imports) {
      const to = specifier.split('/').slice(0, 2).join('/');
      if (to !== owner.name && graph.has(to)) graph.get(owner.name)?.push({ to, line, path });
    }
  }
  return graph;
}

/** One cycle per strongly connected knot, found by depth-first search: enough to mend them one by one. */
function findCycles(graph: Graph): Edge[][] {
  const done = new Set<string>();
  const found: Edge[][] = [];
  const visit = (node: string, way: readonly Edge[], onWay: ReadonlyMap<string, number>): void => {
    for (const edge of graph.get(node) ?? []) {
      const since = onWay.get(edge.to);
      if (since !== undefined) found.push([...way.slice(since), edge]);
      else if (!done.has(edge.to)) visit(edge.to, [...way, edge], new Map(onWay).set(edge.to, way.length + 1));
    }
    done.add(node);
  };
  for (const node of graph.keys()) if (!done.has(node)) visit(node, [], new Map([[node, 0]]));
  return found;
}

function describe(cycle: readonly Edge[], what: string): Finding {
  const last = cycle.at(-1) as Edge;
  const way = [last.to, ...cycle.map((edge) => edge.to)].join(' -> ');
  return { path: last.path, line: last.line, rule: 'cycle', message: `${what} import each other: ${way}` };
}
