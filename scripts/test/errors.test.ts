import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readCatalogues } from '../errors/catalogues.ts';
import { type ErrorEntry, renderErrors } from '../errors/document.ts';

const entry = (owner: string, code: string, rest: Partial<ErrorEntry> = {}): ErrorEntry => ({
  owner,
  code,
  message: 'it broke',
  hint: undefined,
  retryable: false,
  ...rest,
});

describe('docs/errors.md', () => {
  it('lists codes by package and code, with what to do', () => {
    const text = renderErrors([
      entry('nats', 'B', { hint: 'Use a|b.', retryable: true }),
      entry('nats', 'A'),
      entry('core', 'C', { message: 'no {thing}\nhere' }),
    ]);
    expect(text.match(/^(##|\| `).*$/gm)).toEqual([
      '## core',
      '| `C` | no {thing} here |  | no |',
      '## nats',
      '| `A` | it broke |  | no |',
      '| `B` | it broke | Use a\\|b. | yes |',
    ]);
  });

  it('is made from the real catalogues', async () => {
    const entries = await readCatalogues(fileURLToPath(new URL('../..', import.meta.url)));
    expect(entries).toContainEqual({
      owner: 'core',
      code: 'DEADLINE_EXCEEDED',
      message: '{operation} did not finish within {timeoutMs} ms',
      hint: 'The outcome is unknown. Look at the state before repeating anything that is not idempotent.',
      retryable: true,
    });
  });
});
