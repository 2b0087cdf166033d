import { hasCode } from '@canopy/core';

/** The code of the error that it throws, or the error as a text where that is none of ours; undefined when it does not throw. */
export const codeOf = (run: () => unknown): string | undefined => {
  try {
    run();
  } catch (error) {
    return hasCode(error, (error as { code: string }).code) ? (error as { code: string }).code : String(error);
  }
  return undefined;
};
