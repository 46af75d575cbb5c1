// What the account's pages do better with a script; each of them works without it.
"use strict";

// What is wrong with a field stands above it, as the server would write it.
function complain(input, words) {
    const error = document.createElement("p");
    error.className = "error";
    error.id = `${input.id}_error`;
    error.setAttribute("role", "alert");
    error.textContent = words;
    input.before(error);
    input.setAttribute("aria-invalid", "true");
}

function forgive(input) {
    document.getElementById(`${input.id}_error`)?.remove();
    input.removeAttribute("aria-invalid");
}

function is_too_large(input) {
    return input.files[0]?.size > Number(input.dataset.bytesMax);
}

// A picture is seen, as it will be shown, before it is sent.
const input = document.querySelector("input[type=file][data-preview]");
if (input) {
    const box = document.getElementById(input.dataset.preview);
    const image = box.querySelector("img");
    input.addEventListener("change", () => {
        URL.revokeObjectURL(image.src);
        const [file] = input.files;
        box.hidden = true;
        // What was wrong was wrong with another file.
        forgive(input);
        if (is_too_large(input)) {
            complain(input, `${file.name} is too large: 2 MiB are the most.`);
        } else if (file) {
            // Shown once it is known to be a picture.
            image.onload = () => { box.hidden = false; };
            image.src = URL.createObjectURL(file);
        }
    });
    // Not sent at all: the server would refuse it, after minutes on a slow line.
    input.form.addEventListener("submit", (event) => {
        if (is_too_large(input)) {
            event.preventDefault();
            input.focus();
        }
    });
}

// A password may be looked at while it is typed.
for (const box of document.querySelectorAll(".secret")) {
    const secret = box.querySelector("input");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Show";
    button.setAttribute("aria-controls", secret.id);
    button.setAttribute("aria-pressed", "false");
    const name = document.querySelector(`label[for="${secret.id}"]`).innerText.toLowerCase();
    button.setAttribute("aria-label", `Show ${name}`);
    button.addEventListener("click", () => {
        const shown = secret.type === "text";
        secret.type = shown ? "password" : "text";
        button.textContent = shown ? "Show" : "Hide";
        button.setAttribute("aria-pressed", String(!shown));
    });
    // Never sent, nor remembered, as plain text.
    secret.form.addEventListener("submit", () => { secret.type = "password"; });
    box.classList.add("can-show");
    box.append(button);
}

// Moments on the clock of the person who reads them.
for (const time of document.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    time.title = moment.toLocaleString();
}
