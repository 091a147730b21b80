"""The Bot API's methods, one function each: parameters in, result out, ApiError when refused."""
