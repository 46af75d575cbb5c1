// What the theme leaves out: a name for its search fields, the size of a file before it is sent, and
// under each time of a form the same moment on the clock of the person who reads it.
"use strict";

window.addEventListener("load", () => {
    for (const input of document.querySelectorAll("input[placeholder]:not([aria-label])")) {
        if (!input.labels.length) {
            input.ariaLabel = input.placeholder;
        }
    }
    // The pickers are made by a ready handler: one that is registered later runs later.
    window.django?.jQuery?.(() => {
        for (const select of document.querySelectorAll("select.select2-hidden-accessible")) {
            const search = select.nextElementSibling?.querySelector("input.select2-search__field");
            if (search && select.labels.length) {
                search.ariaLabel = select.labels[0].innerText.trim();
            }
        }
    });

    // A file that the server would refuse is not sent, for minutes on a slow line, at all.
    for (const input of document.querySelectorAll("input[type=file][data-bytes-max]")) {
        input.addEventListener("change", () => {
            const bytes_max = Number(input.dataset.bytesMax);
            const [file] = input.files;
            input.setCustomValidity(file && file.size > bytes_max
                ? `${file.name} is too large: ${bytes_max / 2 ** 20} MiB are the most.`
                : "");
            input.reportValidity();
        });
    }

    const server_offset_s = Number(document.body.dataset.adminUtcOffset || 0);
    for (const input of document.querySelectorAll('input[type="datetime-local"]')) {
        const note = document.createElement("div");
        note.className = "ah-local";
        input.after(note);
        const show = () => {
            const moment_ms = Date.parse(`${input.value}Z`) - server_offset_s * 1000;
            const local = new Date(moment_ms);
            const differs = -local.getTimezoneOffset() * 60 !== server_offset_s;
            note.textContent = differs && !Number.isNaN(moment_ms)
                ? `On your clock: ${local.toLocaleString()}`
                : "";
        };
        input.addEventListener("input", show);
        show();
    }
});
