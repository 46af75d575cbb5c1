"""Routes of the pages for people."""

from django.urls import re_path

from accounts.pages.picture import picture
from accounts.pictures import NAME_PATTERN

urlpatterns = [
    re_path(rf"^pictures/(?P<name>{NAME_PATTERN})$", picture, name="picture"),
]
