/**
 * Time, chance, output and environment come through Env. Reaching for the globals is banned everywhere but in the
 * places of this table, each with its reason.
 */
import { type Finding, lineAt, type Tree } from './tree.ts';

const BANNED: readonly { readonly pattern: RegExp; readonly instead: string }[] = [
  { pattern: /\bDate\s*\.\s*now\b/g, instead: 'env.clock.wall()' },
  { pattern: /\bnew\s+Date\s*(?:\(\s*\)|(?![\w\s(]))/g, instead: 'new Date(env.clock.wall())' },
  { pattern: /\bperformance\s*\.\s*now\b/g, instead: 'env.clock.monotonic()' },
  { pattern: /\bprocess\s*\.\s*hrtime\b/g, instead: 'env.clock.monotonic()' },
  {
    pattern: /(?<![\w$.])(?:globalThis\s*\.\s*)?(?:setTimeout|setInterval|setImmediate)\b/g,
    instead: 'env.clock.timer() or env.clock.sleep()',
  },
  { pattern: /\bAbortSignal\s*\.\s*timeout\b/g, instead: 'withDeadline() or env.clock.timer()' },
  { pattern: /\bMath\s*\.\s*random\b/g, instead: 'env.random' },
  { pattern: /(?<![\w$.])console\s*\./g, instead: 'env.log' },
  { pattern: /\bprocess\s*\.\s*env\b/g, instead: 'an option' },
];

interface Allowance {
  readonly path: RegExp;
  readonly why: string;
}

const ALLOWED: readonly Allowance[] = [
  { path: /^packages\/core\/src\/system\//, why: 'where the real clock, chance and environment live' },
  { path: /^packages\/core\/src\/testing\//, why: 'the virtual clock settles promises with real turns of the loop' },
  { path: /^packages\/[^/]+\/src\/(.+\/)?main\.ts$/, why: 'the entry point of a process' },
  { path: /^packages\/nats\/src\/server\/environment\.ts$/, why: 'finds the server through PATH and its own variable' },
  { path: /^packages\/cli\//, why: "the program's edge" },
  { path: /^(e2e|bench|scripts|examples)\//, why: 'programs, not library' },
  { path: /(^|\/)test\//, why: 'tests of the real thing' },
  { path: /^[^/]+\.(ts|js)$/, why: 'configuration of tools' },
];

export function calls(tree: Tree): Finding[] {
  return tree.sources
    .filter(({ path }) => !ALLOWED.some((allowance) => allowance.path.test(path)))
    .flatMap(({ path, code }) =>
      BANNED.flatMap(({ pattern, instead }) =>
        [...code.matchAll(pattern)].map((match) => ({
          path,
          line: lineAt(code, match.index),
          rule: 'call',
          message: `${match[0].replace(/\s+/g, ' ')} is banned here; use ${instead}`,
        })),
      ),
    );
}
