/** What of a page cannot be read: text that goes beyond the window, or beyond a box that cuts it off. */

/** @param {import('playwright-core').Page} page @returns {Promise<string[]>} the texts */
export function cutTexts(page) {
  return page.evaluate(() => {
    const cut = [];
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > width) cut.push(`the page is wider than ${width} pixels`);
    /** How far to the right it can be seen; boxes that scroll show all of it. */
    const edgeOf = (element) => {
      for (let box = element; box && box !== document.body; box = box.parentElement) {
        const { overflowX, clipPath } = getComputedStyle(box);
        if (clipPath !== 'none' || overflowX === 'auto') return Infinity;
        if (overflowX === 'hidden') return Math.min(width, box.getBoundingClientRect().right);
      }
      return width;
    };
    const texts = document.createTreeWalker(document.getElementById('main'), NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const { currentNode: text } = texts;
      const range = document.createRange();
      range.selectNodeContents(text);
      const right = Math.max(0, ...[...range.getClientRects()].map((rect) => rect.right));
      if (text.data.trim() && right > edgeOf(text.parentElement) + 1) cut.push(text.data.trim());
    }
    return cut;
  });
}
