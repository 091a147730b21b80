// Leads to the page that was asked for once somebody has signed in, with what its address shows: a person, a job, a card.

const form = document.querySelector("form");
const { pathname, search, hash } = location;
const asked = pathname === "/sign-in" ? search : `?page=${encodeURIComponent(pathname)}`; // the former after a try in vain
form.action = `/sign-in${asked}${hash}`;
